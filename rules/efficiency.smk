# Test images on which an export is compared with its model.
COMPARED_IMAGES = 1000


rule export:
    input:
        model=inputs.model("model"),
        test=inputs.split("test"),
    output:
        file=paths.export("{dataset}", "{model}", "{ending}"),
        metadata=paths.export_metadata("{dataset}", "{model}", "{ending}"),
    log:
        paths.log("export", "{dataset}", "{model}", "{ending}"),
    benchmark:
        paths.benchmark("export", "{dataset}", "{model}", "{ending}")
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        images=COMPARED_IMAGES,
        compute=COMPUTE,
        code=job_code.on("export_model.py", "model"),
    message:
        "Exporting {wildcards.model} ({wildcards.dataset}) as {wildcards.ending}"
    script:
        "../workflow_scripts/export_model.py"


rule export_int8:
    input:
        model=inputs.model("model"),
        test=inputs.split("test"),
        train=inputs.split("train"),
    output:
        file=paths.export("{dataset}", "{model}", INT8),
        metadata=paths.export_metadata("{dataset}", "{model}", INT8),
        findings=paths.findings("{dataset}", "{model}", "int8"),
        checksum=checksum(paths.findings("{dataset}", "{model}", "int8")),
    log:
        paths.log("export_int8", "{dataset}", "{model}"),
    benchmark:
        paths.benchmark("export_int8", "{dataset}", "{model}")
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        calibration_images=calibration_of,
        seed=lambda wildcards: inputs.planned(wildcards, "model").seed,
        compute=COMPUTE,
        code=job_code.on("export_int8.py", "model"),
    message:
        "Building the int8 model of {wildcards.model} ({wildcards.dataset})"
    script:
        "../workflow_scripts/export_int8.py"


# What was crafted on and for the fake-quantized model, and the very model that is deployed.
rule predict_int8:
    input:
        int8=paths.export("{dataset}", "{target}", INT8),
        fake_quantized=inputs.model("target"),
        test=inputs.split("test"),
        sets=inputs.sets_of_pair,
    output:
        paths.int8_predictions("{dataset}", "{target}", "{source}"),
    log:
        paths.log("predict_int8", "{dataset}", "{target}", "{source}"),
    benchmark:
        paths.benchmark("predict_int8", "{dataset}", "{target}", "{source}")
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        compute=COMPUTE,
        code=code_digest("predict_int8.py"),
    message:
        "Scoring the int8 model of {wildcards.target} on the sets of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/predict_int8.py"


# Attacks that need no gradients, on the very model that is deployed.
rule craft_int8:
    input:
        int8=paths.export("{dataset}", "{source}", INT8),
        test=inputs.split("test"),
        train=inputs.training_images_of_attack,
    output:
        paths.int8_set("{dataset}", "{source}", "{attack}"),
    log:
        paths.log("craft_int8", "{dataset}", "{source}", "{attack}"),
    benchmark:
        paths.benchmark("craft_int8", "{dataset}", "{source}", "{attack}")
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        batch_size=BATCH_SIZE,
    params:
        attack=lambda wildcards: study.attacks[wildcards.attack].settings,
        entry=lambda wildcards: study.attacks[wildcards.attack].entry,
        seed=lambda wildcards: derive_seed(wildcards.source, INT8, wildcards.attack),
        compute=COMPUTE,
        code=job_code.crafting_on_file,
    message:
        "Crafting {wildcards.attack} on the int8 model of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/craft_int8.py"


rule score_int8:
    input:
        int8=paths.export("{dataset}", "{source}", INT8),
        fake_quantized=inputs.model("source"),
        test=inputs.split("test"),
        sets=inputs.int8_sets,
    output:
        predictions=paths.int8_itself("{dataset}", "{source}"),
        findings=paths.findings("{dataset}", "{source}", "int8_sets"),
        checksum=checksum(paths.findings("{dataset}", "{source}", "int8_sets")),
    log:
        paths.log("score_int8", "{dataset}", "{source}"),
    benchmark:
        paths.benchmark("score_int8", "{dataset}", "{source}")
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        attacks=study.int8_attacks,
        compute=COMPUTE,
        code=code_digest("score_int8.py"),
    message:
        "Scoring and auditing what was crafted on the int8 model of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/score_int8.py"


rule write_deployed:
    input:
        int8=every(paths.int8_predictions, int8_pairs(study)),
        fake_quantized=every(paths.predictions, int8_pairs(study)),
        itself=inputs.int8_itself(),
        sets=inputs.every_int8_set(),
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
    output:
        table("deployed"),
        checksums(["deployed"]),
    log:
        paths.log("write_deployed"),
    benchmark:
        paths.benchmark("write_deployed")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        models=described(study.evaluated_models),
        alpha=study.config["statistics"]["alpha"],
        code=code_digest("write_deployed.py"),
    message:
        "Writing the table of deployed models under attack"
    script:
        "../workflow_scripts/write_deployed.py"


# One job for all models, so that they take turns; it takes every core, so that nothing disturbs it.
rule measure_latency:
    input:
        runs=inputs.timed_files,
        test=inputs.split("test"),
    output:
        times=paths.times("{dataset}"),
        checksum=checksum(paths.times("{dataset}")),
        machine=paths.machine("{dataset}"),
    log:
        paths.log("measure_latency", "{dataset}"),
    benchmark:
        paths.benchmark("measure_latency", "{dataset}")
    conda:
        "../envs/deploy.yaml"
    threads: EVERY_CORE
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPUS,
    params:
        **{key: EFFICIENCY[key] for key in ("threads", "images", "rounds")},
        runs=lambda wildcards: timed_runs(study, wildcards.dataset),
        compute=COMPUTE,
        code=job_code.timing,
    message:
        "Timing the models of {wildcards.dataset}, alone on this machine"
    script:
        "../workflow_scripts/measure_latency.py"


rule write_efficiency:
    input:
        models=every(paths.model, study.exports),
        metadata=every(paths.export_metadata, exports(study)),
        times=[paths.times(dataset) for dataset in timed_datasets(study)],
        machines=[paths.machine(dataset) for dataset in timed_datasets(study)],
        clean_accuracy=paths.table("clean_accuracy"),
        checksums=[
            *checksums(["clean_accuracy"]),
            *(checksum(paths.times(dataset)) for dataset in timed_datasets(study)),
        ],
    output:
        efficiency=table("efficiency"),
        latency=table("latency"),
        speedups=table("speedups"),
        checksums=checksums(DEPLOYMENT),
    log:
        paths.log("write_efficiency"),
    benchmark:
        paths.benchmark("write_efficiency")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        models=described(study.exports),
        exports=exports(study),
        datasets=timed_datasets(study),
        alpha=study.config["statistics"]["alpha"],
        code=code_digest("write_efficiency.py"),
    message:
        "Writing the tables of efficiency and latency"
    script:
        "../workflow_scripts/write_efficiency.py"


rule select_variants:
    input:
        over_seeds=paths.table("over_seeds"),
        compression=paths.table("compression"),
        verdicts=paths.table("verdicts"),
        clean=paths.table("clean_differences"),
        robust=paths.table("robust_accuracy"),
        checksums=checksums(["over_seeds", "compression", "verdicts", "clean_differences", "robust_accuracy"]),
    output:
        table("selected"),
        checksums(["selected"]),
    log:
        paths.log("select_variants"),
    benchmark:
        paths.benchmark("select_variants")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        select={**study.config["select"], "alpha": study.config["statistics"]["alpha"]},
        code=code_digest("select_variants.py"),
    message:
        "Selecting the smallest models that keep their accuracy"
    script:
        "../workflow_scripts/select_variants.py"
