rule compress:
    input:
        parent=parent_of,
        train=split_of("train"),
        validation=split_of("validation"),
    output:
        model=paths.model("{dataset}", "{variant}"),
        history=paths.history("{dataset}", "{variant}"),
    log:
        paths.log("compress", "{dataset}", "{variant}"),
    benchmark:
        paths.benchmark("compress", "{dataset}", "{variant}")
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=GPUS,
    params:
        compression=compression_of,
        finetuning=finetuning_of,
        seed=lambda wildcards: planned(wildcards, "variant").seed,
        compute=COMPUTE,
        code=compressing_code,
    message:
        "Compressing to {wildcards.variant} on {wildcards.dataset}"
    script:
        "../workflow_scripts/compress.py"
