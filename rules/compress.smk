rule compress:
    input:
        parent=inputs.parent,
        train=inputs.split("train"),
        validation=inputs.split("validation"),
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
        seed=lambda wildcards: inputs.planned(wildcards, "variant").seed,
        compute=COMPUTE,
        code=job_code.compressing,
    message:
        "Compressing to {wildcards.variant} on {wildcards.dataset}"
    script:
        "../workflow_scripts/compress.py"


rule import_model:
    input:
        file=file_of_model,
        base=inputs.parent,
        train=inputs.split("train"),
        validation=inputs.split("validation"),
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
        code=job_code.importing,
    message:
        "Reading {wildcards.variant} ({wildcards.dataset}) from {input.file}"
    script:
        "../workflow_scripts/import_model.py"
