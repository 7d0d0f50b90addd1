rule compress:
    input:
        parent=parent_of,
        train=split_of("train"),
        validation=split_of("validation"),
    output:
        model=paths.model("{dataset}", "{variant}"),
        history=paths.history("{dataset}", "{variant}"),
        checksum=checksum(paths.history("{dataset}", "{variant}")),
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


rule import_model:
    input:
        file=file_of_model,
        base=parent_of,
        train=split_of("train"),
        validation=split_of("validation"),
    output:
        model=paths.model("{dataset}", "{variant}"),
        history=paths.history("{dataset}", "{variant}"),
        checksum=checksum(paths.history("{dataset}", "{variant}")),
    log:
        paths.log("import_model", "{dataset}", "{variant}"),
    benchmark:
        paths.benchmark("import_model", "{dataset}", "{variant}")
    wildcard_constraints:
        variant=EXTERNAL,
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        compression=compression_of,
        compute=COMPUTE,
        code=importing_code,
    message:
        "Reading {wildcards.variant} ({wildcards.dataset}) from {input.file}"
    script:
        "../workflow_scripts/import_model.py"
