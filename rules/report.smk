# The tables for print and the story of the study.


rule format_tables:
    input:
        tables=[paths.table(name) for name in table_names(study)],
        checksums=checksums(table_names(study)),
    output:
        latex=[paths.table(name, "tex") for name in table_names(study)],
        markdown=[paths.table(name, "md") for name in table_names(study)],
    log:
        paths.log("format_tables"),
    benchmark:
        paths.benchmark("format_tables")
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


OF_THE_STORY = ["answers", "robust_accuracy", "verdicts", "audit", "crafting", "clean_accuracy", "compression"]


rule write_story:
    input:
        answers=paths.table("answers"),
        robust_accuracy=paths.table("robust_accuracy"),
        verdicts=paths.table("verdicts"),
        audit=paths.table("audit"),
        crafting=paths.table("crafting"),
        clean=paths.table("clean_accuracy"),
        compression=paths.table("compression"),
        unsupported=paths.table("unsupported"),
        tables=[paths.table(name) for name in story_tables(study)],
        checksums=checksums([*OF_THE_STORY, *STAGES, *story_tables(study)]),
        stages=stages(),
        targeted=[paths.table(name) for name in story_tables(study) if name == "targeted"],
        deployed=[paths.table(name) for name in story_tables(study) if name == "deployed"],
        figures=[figures()[kind].files(paths, **names)[0] for kind, names in story_figures(study)],
        templates=story_templates(),
    output:
        page=report(
            paths.page("story"),
            caption="../report/story.rst",
            category="Story",
            labels={"page": "what was asked, run and found"},
        ),
        summary=paths.page("summary"),
    log:
        paths.log("write_story"),
    benchmark:
        paths.benchmark("write_story")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        study=design(study),
        figures=[(kind, names, figures()[kind].caption.format(**names)) for kind, names in story_figures(study)],
        benchmarks=benchmarks(),
        results=benchmarks(OF_RESULTS),
        code=code_digest("write_story.py"),
    message:
        "Writing the story"
    script:
        "../workflow_scripts/write_story.py"


rule write_cards:
    input:
        answers=paths.table("answers"),
        verdicts=paths.table("verdicts"),
        clean_accuracy=paths.table("clean_accuracy"),
        robust_accuracy=paths.table("robust_accuracy"),
        compression=paths.table("compression"),
        crafting=paths.table("crafting"),
        audit=paths.table("audit"),
        checksums=checksums(
            ["answers", "verdicts", "clean_accuracy", "robust_accuracy", "compression", "crafting", "audit"]
        ),
    output:
        benchmark=paths.benchmark_summary(),
        cards=every(paths.card, compressed_models(study)),
    log:
        paths.log("write_cards"),
    benchmark:
        paths.benchmark("write_cards")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        study={"name": study.name, "question": study.question, "doubts": study.config["doubts"]},
        statistics=study.config["statistics"],
        models=compressed_models(study),
        results=benchmarks(OF_RESULTS),
        code=code_digest("write_cards.py"),
    message:
        "Writing a card of every compressed model"
    script:
        "../workflow_scripts/write_cards.py"


# Made where it is asked for: may a compressed model replace its base?
rule write_replacement:
    input:
        predictions=inputs.predictions_of_pair,
        base=inputs.base_of_pair,
        compressed=inputs.model("model"),
        weights=lambda wildcards: [brought(file) for file in inputs.weights_of_base(wildcards)],
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
        template=library_file("pages/answer.html"),
    output:
        paths.replacement("{dataset}", "{model}"),
    log:
        paths.log("write_replacement", "{dataset}", "{model}"),
    benchmark:
        paths.benchmark("write_replacement", "{dataset}", "{model}")
    wildcard_constraints:
        model=f"{VARIANT}|{EXTERNAL}",
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        base=lambda wildcards: inputs.planned(wildcards, "model").base.name,
        files=inputs.files_of_pair,
        study=study.name,
        question=study.question,
        doubts=study.config["doubts"],
        statistics=study.config["statistics"],
        code=code_digest("write_replacement.py"),
    message:
        "Asking whether {wildcards.model} may replace its base"
    script:
        "../workflow_scripts/write_replacement.py"
