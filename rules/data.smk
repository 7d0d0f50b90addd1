# Split -> the directories of prepared data that this study makes it in.
PREPARED = {
    split: any_of(not_made_elsewhere(split, {dataset.key(split) for dataset in study.datasets.values()}))
    for split in ("train", "test")
}


rule prepare:
    output:
        train=prepared("{prepared}", "train"),
        validation=prepared("{prepared}", "validation"),
    log:
        "data/prepared/{prepared}/prepare.log",
    benchmark:
        "data/prepared/{prepared}/prepare.tsv"
    wildcard_constraints:
        prepared=PREPARED["train"],
    # Raw data lies where Snakemake was started.
    localrule: STORED
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=lambda wildcards: study.prepared_dataset(wildcards.prepared).settings_of("train"),
        name=lambda wildcards: study.prepared_dataset(wildcards.prepared).name,
        code=job_code.preparing,
    message:
        "Preparing the training images of {params.name}"
    script:
        "../workflow_scripts/prepare.py"


# After the training images, of which raw data may have been downloaded.
use rule prepare as prepare_test with:
    input:
        train=lambda wildcards: prepared(study.prepared_dataset(wildcards.prepared).key("train"), "train"),
    output:
        test=prepared("{prepared}", "test"),
    log:
        "data/prepared/{prepared}/prepare_test.log",
    benchmark:
        "data/prepared/{prepared}/prepare_test.tsv"
    wildcard_constraints:
        prepared=PREPARED["test"],
    params:
        settings=lambda wildcards: study.prepared_dataset(wildcards.prepared).settings_of("test"),
        name=lambda wildcards: study.prepared_dataset(wildcards.prepared).name,
        code=job_code.preparing,
    message:
        "Preparing the test images of {params.name}"


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
