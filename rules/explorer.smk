rule write_explorer:
    input:
        over_seeds=paths.table("over_seeds"),
        robust_accuracy=paths.table("robust_accuracy"),
        clean_accuracy=paths.table("clean_accuracy"),
        verdicts=paths.table("verdicts"),
        effects=paths.table("effects"),
        max_delta=paths.table("max_delta"),
        flips=paths.table("flips"),
        audit=paths.table("audit"),
        compression=paths.table("compression"),
        unsupported=paths.table("unsupported"),
        checksums=checksums(
            [
                "over_seeds",
                "robust_accuracy",
                "clean_accuracy",
                "verdicts",
                "effects",
                "max_delta",
                "flips",
                "audit",
                "compression",
                "unsupported",
            ]
        ),
        predictions=every(paths.predictions, study.pairs),
        sets=every(paths.adversarial_set, sets()),
        tests=inputs.splits("test"),
        templates=explorer_templates(),
    output:
        report(
            paths.page("explorer"),
            caption="../report/explorer.rst",
            category="Explorer",
            labels={"page": "source x target x attack x eps"},
        ),
    log:
        paths.log("write_explorer"),
    benchmark:
        paths.benchmark("write_explorer")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        study=study.name,
        question=study.question,
        datasets=study.audited_datasets,
        code=code_digest("write_explorer.py"),
    message:
        "Writing the explorer page"
    script:
        "../workflow_scripts/write_explorer.py"
