rule write_explorer:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        robust_accuracy=f"{RESULTS}/tables/robust_accuracy.csv",
        clean_accuracy=f"{RESULTS}/tables/clean_accuracy.csv",
        verdicts=f"{RESULTS}/tables/verdicts.csv",
        max_delta=f"{RESULTS}/tables/max_delta.csv",
        flips=f"{RESULTS}/tables/flips.csv",
        audit=f"{RESULTS}/tables/audit.csv",
        compression=f"{RESULTS}/tables/compression.csv",
        predictions=PREDICTIONS,
        sets=adversarial_sets(),
        tests=TESTS,
        templates=explorer_templates(),
    output:
        report(
            f"{RESULTS}/explorer.html",
            caption="../report/explorer.rst",
            category="Explorer",
            labels={"page": "source x target x attack x eps"},
        ),
    log:
        f"{RESULTS}/logs/write_explorer.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_explorer.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        study=study.name,
        question=study.question,
        datasets=audited_datasets(),
        code=code_digest("write_explorer.py"),
    message:
        "Writing the explorer page"
    script:
        "../workflow_scripts/write_explorer.py"
