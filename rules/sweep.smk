rule sweep:
    input:
        source=model_of("source"),
        test=split_of("test"),
        train=training_images_of_sweep,
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
        code=sweeping_code,
    message:
        "Attacking {wildcards.source} ({wildcards.dataset}) at the rising eps of {wildcards.sweep}"
    script:
        "../workflow_scripts/sweep.py"


rule write_sweeps:
    input:
        sweeps=every(paths.sweep, study.curves),
        audit=paths.table("audit"),
    output:
        table("sweeps"),
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
        code=code_digest("write_sweeps.py"),
    message:
        "Writing the table of sweeps"
    script:
        "../workflow_scripts/write_sweeps.py"


rule plot_sweep:
    input:
        paths.table("sweeps"),
    output:
        figure("accuracy_against_eps"),
    log:
        paths.log("plot_sweep", "{dataset}", "{sweep}"),
    benchmark:
        paths.benchmark("plot_sweep", "{dataset}", "{sweep}")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("plot_sweep.py"),
    message:
        "Plotting white-box accuracy against the eps of {wildcards.sweep} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_sweep.py"


rule plot_transfer:
    input:
        over_seeds=paths.table("over_seeds"),
        clean_accuracy=paths.table("clean_accuracy"),
        test=split_of("test"),
    output:
        figure("transfer"),
    log:
        paths.log("plot_transfer", "{dataset}", "{origin}", "{entry}"),
    benchmark:
        paths.benchmark("plot_transfer", "{dataset}", "{origin}", "{entry}")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        source=described_origin,
        attacks=lambda wildcards: study.transfers[wildcards.dataset, wildcards.origin, wildcards.entry],
        code=code_digest("plot_transfer.py"),
    message:
        "Plotting what {wildcards.entry} on {wildcards.origin} does to every target ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_transfer.py"
