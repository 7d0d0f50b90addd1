rule audit_sets:
    input:
        sets=inputs.sets_of_source,
        source=inputs.model("source"),
        test=inputs.split("test"),
        evaluated=inputs.evaluated_on_itself,
    output:
        paths.findings("{dataset}", "{source}", "sets"),
        checksum(paths.findings("{dataset}", "{source}", "sets")),
    log:
        paths.log("audit_sets", "{dataset}", "{source}"),
    benchmark:
        paths.benchmark("audit_sets", "{dataset}", "{source}")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        attacks=inputs.attacks_on_source,
        code=code_digest("audit_sets.py"),
    message:
        "Auditing the sets of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/audit_sets.py"


rule audit_data:
    input:
        train=inputs.split("train"),
        validation=inputs.split("validation"),
        test=inputs.split("test"),
    output:
        paths.data_findings("{dataset}"),
        checksum(paths.data_findings("{dataset}")),
    log:
        paths.log("audit_data", "{dataset}"),
    benchmark:
        paths.benchmark("audit_data", "{dataset}")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        test_images=lambda wildcards: study.datasets[wildcards.dataset].test_images,
        code=code_digest("audit_data.py"),
    message:
        "Auditing the data set {wildcards.dataset}"
    script:
        "../workflow_scripts/audit_data.py"


rule probe:
    input:
        source=inputs.model("source"),
        test=inputs.split("test"),
        sets=inputs.sets_of_source,
    output:
        paths.findings("{dataset}", "{source}", "probe"),
        checksum(paths.findings("{dataset}", "{source}", "probe")),
    log:
        paths.log("probe", "{dataset}", "{source}"),
    benchmark:
        paths.benchmark("probe", "{dataset}", "{source}")
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
        batch_size=BATCH_SIZE,
    params:
        attack=study.probed_attack,
        attacks=inputs.attacks_on_source,
        unscored=inputs.attacks_not_scored_on_source,
        deep=study.config["audit"]["probe"],
        images=study.config["audit"]["images"],
        expectation=expectation_of("source"),
        seed=lambda wildcards: derive_seed(wildcards.source, "probe"),
        # Those that rule craft takes.
        seeds=lambda wildcards: {
            attack: derive_seed(wildcards.source, attack) for attack in inputs.attacks_on_source(wildcards)
        },
        compute=COMPUTE,
        code=job_code.on("probe.py", "source"),
        crafting=job_code.crafting_again,
    message:
        "Probing {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/probe.py"


rule write_audit:
    input:
        found=inputs.findings(),
        checksums=list(map(checksum, inputs.findings())),
        predictions=every(paths.predictions, study.pairs) + every(paths.sweep, study.curves),
        models=every(paths.model, study.evaluated_models),
        int8=every(paths.int8_predictions, int8_pairs(study)),
        fake_quantized=every(paths.predictions, int8_pairs(study)),
        tests=inputs.splits("test"),
        trains=inputs.splits("train"),
    output:
        table("audit"),
        checksums(["audit"]),
    log:
        paths.log("write_audit"),
    benchmark:
        paths.benchmark("write_audit")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        models=study.evaluated_models,
        parents=[inputs.parent_name(*model) for model in study.evaluated_models],
        datasets=study.audited_datasets,
        code=code_digest("write_audit.py"),
    message:
        "Writing the audit"
    script:
        "../workflow_scripts/write_audit.py"


# Fails where a check failed, after the tables: what is sound is kept.
rule check_audit:
    input:
        audit=paths.table("audit"),
        tables=paths.table("robust_accuracy"),
        checksums=checksums(["audit"]),
    output:
        paths.audit_passed(),
    log:
        paths.log("check_audit"),
    benchmark:
        paths.benchmark("check_audit")
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
