rule prepare:
    output:
        train=prepared("{prepared}", "train"),
        validation=prepared("{prepared}", "validation"),
        test=prepared("{prepared}", "test"),
    log:
        "data/prepared/{prepared}/prepare.log",
    benchmark:
        "data/prepared/{prepared}/prepare.tsv"
    # Raw data lies where Snakemake was started.
    localrule: STORED
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=lambda wildcards: dataset_of(wildcards).settings,
        name=lambda wildcards: dataset_of(wildcards).name,
        code=job_code.preparing,
    message:
        "Preparing the data set {params.name}"
    script:
        "../workflow_scripts/prepare.py"


rule bring:
    input:
        lambda wildcards: local(next(file for file in files_of_the_user() if file.lstrip("/") == wildcards.file)),
    output:
        BROUGHT,
    log:
        f"{paths.results}/logs/bring/{{file}}.log",
    benchmark:
        f"{paths.results}/benchmarks/bring/{{file}}.tsv"
    wildcard_constraints:
        file=any_of(not_made_elsewhere("copies", {file.lstrip("/") for file in files_of_the_user()})),
    localrule: True
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        code=code_digest("bring.py"),
    message:
        "Bringing {wildcards.file} to where all jobs find it"
    script:
        "../workflow_scripts/bring.py"
