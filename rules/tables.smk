rule write_tables:
    input:
        predictions=PREDICTIONS,
        models=MODELS,
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        **{name: table(name) for name in TABLES},
    log:
        f"{RESULTS}/logs/write_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_tables.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=DESCRIPTIONS,
        code=code_digest("write_tables.py"),
    message:
        "Writing the tables"
    script:
        "../workflow_scripts/write_tables.py"


rule write_verdicts:
    input:
        predictions=PREDICTIONS,
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        **{name: table(name) for name in VERDICTS},
    log:
        f"{RESULTS}/logs/write_verdicts.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_verdicts.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        models=DESCRIPTIONS,
        statistics=study.config["statistics"],
        code=code_digest("write_verdicts.py"),
    message:
        "Writing the verdicts"
    script:
        "../workflow_scripts/write_verdicts.py"


rule write_costs:
    input:
        adversarial_sets(),
    output:
        table("crafting"),
    log:
        f"{RESULTS}/logs/write_costs.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_costs.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("write_costs.py"),
    message:
        "Writing the table of crafting costs"
    script:
        "../workflow_scripts/write_costs.py"


rule write_stages:
    input:
        sets=adversarial_sets(of_suites=True),
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        table("stages"),
    log:
        f"{RESULTS}/logs/write_stages.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_stages.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("write_stages.py"),
    message:
        "Writing the table of cumulative suites"
    script:
        "../workflow_scripts/write_stages.py"


rule write_wide_tables:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        robust=f"{RESULTS}/tables/robust_accuracy.csv",
        compression=f"{RESULTS}/tables/compression.csv",
        clean=f"{RESULTS}/tables/clean_accuracy.csv",
        stages=STAGES,
    output:
        models=wide_table("models", "wide_models"),
        attacks=[wide_table(f"attacks.{name}", "wide_attacks") for name in compressions()],
        stages=[wide_table("stages", "wide_stages")] if STAGES else [],
    log:
        f"{RESULTS}/logs/write_wide_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_wide_tables.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        compressions=compressions(),
        code=code_digest("write_wide_tables.py"),
    message:
        "Writing the tables in the layout of the papers"
    script:
        "../workflow_scripts/write_wide_tables.py"
