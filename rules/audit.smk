rule audit_sets:
    input:
        sets=sets_crafted_on("source"),
        source=model_of("source"),
        test=split_of("test"),
        evaluated=evaluated_on_itself,
    output:
        f"{RESULTS}/audit/{{dataset}}/{{source}}.sets.csv",
    log:
        f"{RESULTS}/logs/audit_sets/{{dataset}}/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/audit_sets/{{dataset}}/{{source}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        attacks=lambda wildcards: study.sets[wildcards.dataset, wildcards.source],
        code=code_digest("audit_sets.py"),
    message:
        "Auditing the sets of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/audit_sets.py"


rule probe:
    input:
        source=model_of("source"),
        test=split_of("test"),
    output:
        f"{RESULTS}/audit/{{dataset}}/{{source}}.probe.csv",
    log:
        f"{RESULTS}/logs/probe/{{dataset}}/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe/{{dataset}}/{{source}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        attack=probe_attack(),
        images=study.config["audit"]["images"],
        seed=lambda wildcards: derive_seed(wildcards.source, "probe"),
        compute=study.compute,
        code=code_digest("probe.py"),
    message:
        "Probing {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/probe.py"


rule write_audit:
    input:
        found=audits_of_sources(),
        predictions=PREDICTIONS + swept(),
        models=MODELS,
        tests=TESTS,
    output:
        table("audit"),
    log:
        f"{RESULTS}/logs/write_audit.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_audit.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        models=study.evaluated_models,
        datasets=audited_datasets(),
        code=code_digest("write_audit.py"),
    message:
        "Writing the audit"
    script:
        "../workflow_scripts/write_audit.py"


# Fails where a check failed, after the tables: what is sound is kept.
rule check_audit:
    input:
        audit=f"{RESULTS}/tables/audit.csv",
        tables=f"{RESULTS}/tables/robust_accuracy.csv",
    output:
        f"{RESULTS}/audit/passed.txt",
    log:
        f"{RESULTS}/logs/check_audit.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_audit.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("check_audit.py"),
    message:
        "Checking that the audit has no failure"
    script:
        "../workflow_scripts/check_audit.py"
