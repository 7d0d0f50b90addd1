"""Rule format_tables: every table of the study -> the same for print, as LaTeX and Markdown."""

from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.jobs import job
from squeezeproof.tables.files import read_texts
from squeezeproof.tables.formats import readable, to_latex, to_markdown

with job(snakemake):
    paths, output = snakemake.input.tables, snakemake.output
    for path, latex, markdown in zip(paths, output.latex, output.markdown, strict=True):
        table = readable(Path(path).stem, read_texts(path))
        for target, text in ((latex, to_latex(table)), (markdown, to_markdown(table))):
            with replacing(target) as temporary:
                temporary.write_text(text)
