rule write_tables:
    input:
        predictions=every(paths.predictions, study.pairs),
        models=every(paths.model, study.evaluated_models),
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
    output:
        **{name: table(name) for name in ACCURACY},
        checksums=checksums(ACCURACY),
    log:
        paths.log("write_tables"),
    benchmark:
        paths.benchmark("write_tables")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=described(study.evaluated_models),
        code=code_digest("write_tables.py"),
    message:
        "Writing the tables"
    script:
        "../workflow_scripts/write_tables.py"


rule write_verdicts:
    input:
        predictions=every(paths.predictions, study.pairs),
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
    output:
        **{name: table(name) for name in VERDICTS},
        checksums=checksums(VERDICTS),
    log:
        paths.log("write_verdicts"),
    benchmark:
        paths.benchmark("write_verdicts")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        models=described(study.evaluated_models),
        statistics=study.config["statistics"],
        code=code_digest("write_verdicts.py"),
    message:
        "Writing the verdicts"
    script:
        "../workflow_scripts/write_verdicts.py"


rule write_answers:
    input:
        clean_accuracy=paths.table("clean_accuracy"),
        robust_accuracy=paths.table("robust_accuracy"),
        verdicts=paths.table("verdicts"),
        clean_differences=paths.table("clean_differences"),
        effects=paths.table("effects"),
        compression=paths.table("compression"),
        crafting=paths.table("crafting"),
        audit=paths.table("audit"),
        checksums=checksums(
            [
                "clean_accuracy",
                "robust_accuracy",
                "compression",
                "verdicts",
                "clean_differences",
                "effects",
                "crafting",
                "audit",
            ]
        ),
    output:
        table("answers"),
        checksums(["answers"]),
    log:
        paths.log("write_answers"),
    benchmark:
        paths.benchmark("write_answers")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        statistics=study.config["statistics"],
        code=code_digest("write_answers.py"),
    message:
        "Answering what to do with every compressed model"
    script:
        "../workflow_scripts/write_answers.py"


rule write_unsupported:
    input:
        every(paths.model, [(model.dataset, model.name) for model in study.made_models]),
        every(paths.adversarial_set, sets()),
        every(paths.sweep, study.curves),
        every(paths.export, exports(study)),
        every(paths.findings, [(*key, "probe") for key in study.sets]),
    output:
        table("unsupported"),
        checksums(["unsupported"]),
    log:
        paths.log("write_unsupported"),
    benchmark:
        paths.benchmark("write_unsupported")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=described((model.dataset, model.name) for model in study.made_models),
        code=code_digest("write_unsupported.py"),
    message:
        "Writing the table of what is not supported"
    script:
        "../workflow_scripts/write_unsupported.py"


rule write_costs:
    input:
        every(paths.adversarial_set, sets()),
    output:
        table("crafting"),
        checksums(["crafting"]),
    log:
        paths.log("write_costs"),
    benchmark:
        paths.benchmark("write_costs")
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
        sets=every(paths.adversarial_set, suites(study)),
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
    output:
        table("stages"),
        checksums(["stages"]),
    log:
        paths.log("write_stages"),
    benchmark:
        paths.benchmark("write_stages")
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


rule write_targeted:
    input:
        predictions=every(paths.predictions, study.pairs),
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
    output:
        table("targeted"),
        checksums(["targeted"]),
    log:
        paths.log("write_targeted"),
    benchmark:
        paths.benchmark("write_targeted")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=described(study.evaluated_models),
        code=code_digest("write_targeted.py"),
    message:
        "Writing the table of targeted attacks"
    script:
        "../workflow_scripts/write_targeted.py"


rule write_library_attacks:
    input:
        every(paths.adversarial_set, of_libraries(study)),
    output:
        table("library_attacks"),
        checksums(["library_attacks"]),
    log:
        paths.log("write_library_attacks"),
    benchmark:
        paths.benchmark("write_library_attacks")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("write_library_attacks.py"),
    message:
        "Writing the table of attacks of other libraries"
    script:
        "../workflow_scripts/write_library_attacks.py"


rule write_wide_tables:
    input:
        over_seeds=paths.table("over_seeds"),
        robust=paths.table("robust_accuracy"),
        compression=paths.table("compression"),
        clean=paths.table("clean_accuracy"),
        unsupported=paths.table("unsupported"),
        stages=stages(),
        checksums=checksums(["over_seeds", "robust_accuracy", "compression", "clean_accuracy", "unsupported", *STAGES]),
    output:
        models=wide_table("models"),
        attacks=[wide_table(f"attacks.{name}") for name in compressions(study)],
        stages=[wide_table("stages")] if suites(study) else [],
        checksums=checksums(f"wide_{name}" for name in wide_tables(study)),
    log:
        paths.log("write_wide_tables"),
    benchmark:
        paths.benchmark("write_wide_tables")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=described(study.evaluated_models),
        compressions=compressions(study),
        code=code_digest("write_wide_tables.py"),
    message:
        "Writing the tables in the layout of the papers"
    script:
        "../workflow_scripts/write_wide_tables.py"


rule compare_published:
    input:
        over_seeds=paths.table("over_seeds"),
        clean_accuracy=paths.table("clean_accuracy"),
        published=lambda wildcards: brought(study.published["table"]),
        stages=stages(),
        checksums=checksums(["over_seeds", "clean_accuracy", *STAGES]),
    output:
        table("published"),
        checksums(["published"]),
    log:
        paths.log("compare_published"),
    benchmark:
        paths.benchmark("compare_published")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        published=study.published,
        models=described(study.evaluated_models),
        code=code_digest("compare_published.py"),
    message:
        "Setting the results beside the published numbers"
    script:
        "../workflow_scripts/compare_published.py"
