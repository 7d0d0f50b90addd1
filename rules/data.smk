rule prepare:
    output:
        train=prepared("{prepared}", "train"),
        validation=prepared("{prepared}", "validation"),
        test=prepared("{prepared}", "test"),
    log:
        "data/prepared/{prepared}/prepare.log",
    benchmark:
        "data/prepared/{prepared}/prepare.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=lambda wildcards: dataset_of(wildcards).settings,
        name=lambda wildcards: dataset_of(wildcards).name,
        code=lambda wildcards: used_code(study, "prepare.py", datasets=[dataset_of(wildcards).settings]),
    message:
        "Preparing the data set {params.name}"
    script:
        "../workflow_scripts/prepare.py"
