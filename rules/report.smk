# The tables for print and the story of the study.

# Every table of the study; the helpers of the other rule files know them by now.
STUDY_TABLES = [path for path in final_outputs() if path.startswith(f"{RESULTS}/tables/") and path.endswith(".csv")]


rule format_tables:
    input:
        STUDY_TABLES,
    output:
        latex=[f"{path.removesuffix('.csv')}.tex" for path in STUDY_TABLES],
        markdown=[f"{path.removesuffix('.csv')}.md" for path in STUDY_TABLES],
    log:
        f"{RESULTS}/logs/format_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/format_tables.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("format_tables.py"),
    message:
        "Writing the tables as LaTeX and Markdown"
    script:
        "../workflow_scripts/format_tables.py"


rule write_story:
    input:
        verdicts=f"{RESULTS}/tables/verdicts.csv",
        audit=f"{RESULTS}/tables/audit.csv",
        crafting=f"{RESULTS}/tables/crafting.csv",
        clean=f"{RESULTS}/tables/clean_accuracy.csv",
        tables=[f"{RESULTS}/tables/{name}.csv" for name in told_tables()],
    output:
        page=report(
            f"{RESULTS}/story.html",
            caption="../report/story.rst",
            category="Story",
            labels={"page": "what was asked, run and found"},
        ),
        summary=f"{RESULTS}/summary.html",
    log:
        f"{RESULTS}/logs/write_story.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_story.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        facts=story_facts(),
        benchmarks=f"{RESULTS}/benchmarks",
        code=code_digest("write_story.py"),
    message:
        "Writing the story"
    script:
        "../workflow_scripts/write_story.py"
