rule train:
    input:
        train=split_of("train"),
        validation=split_of("validation"),
        checkpoint=checkpoint_of,
    output:
        model=paths.model("{dataset}", "{base}"),
        history=paths.history("{dataset}", "{base}"),
        checksum=checksum(paths.history("{dataset}", "{base}")),
    log:
        paths.log("train", "{dataset}", "{base}"),
    benchmark:
        paths.benchmark("train", "{dataset}", "{base}")
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=GPUS,
    params:
        architecture=architecture_of,
        training=training_of,
        seed=lambda wildcards: planned(wildcards, "base").seed,
        compute=COMPUTE,
        code=training_code,
    message:
        "Training {wildcards.base} on {wildcards.dataset}"
    script:
        "../workflow_scripts/train.py"
