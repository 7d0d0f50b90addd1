rule sweep:
    input:
        source=inputs.model("source"),
        test=inputs.split("test"),
        train=inputs.training_images_of_sweep,
    output:
        paths.sweep("{dataset}", "{source}", "{sweep}"),
    log:
        paths.log("sweep", "{dataset}", "{source}", "{sweep}"),
    benchmark:
        paths.benchmark("sweep", "{dataset}", "{source}", "{sweep}")
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(720),
        gpu=GPUS,
        batch_size=BATCH_SIZE,
    params:
        attacks=attacks_of_sweep,
        entry=lambda wildcards: study.sweeps[wildcards.sweep].attacks[0].entry,
        stops=lambda wildcards: study.sweeps[wildcards.sweep].stops,
        shards=lambda wildcards: study.datasets[wildcards.dataset].shards,
        compute=COMPUTE,
        code=job_code.sweeping,
    message:
        "Attacking {wildcards.source} ({wildcards.dataset}) at the rising eps of {wildcards.sweep}"
    script:
        "../workflow_scripts/sweep.py"


rule write_sweeps:
    input:
        sweeps=every(paths.sweep, study.curves),
        audit=paths.table("audit"),
        checksums=checksums(["audit"]),
    output:
        **{name: table(name) for name in OF_SWEEPS},
        checksums=checksums(OF_SWEEPS),
    log:
        paths.log("write_sweeps"),
    benchmark:
        paths.benchmark("write_sweeps")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=described(key[:2] for key in study.curves),
        statistics=study.config["statistics"],
        code=code_digest("write_sweeps.py"),
    message:
        "Writing the table of sweeps"
    script:
        "../workflow_scripts/write_sweeps.py"
