# First of all jobs, so that what a network does not support is told before it is trained. What the study asks of it is
# none of its params, nor is the code of that: a network that is trained would be trained again for a new ratio.
rule check_network:
    input:
        train=inputs.split("train"),
    output:
        paths.support("{dataset}", "{architecture}"),
    log:
        paths.log("check_network", "{dataset}", "{architecture}"),
    benchmark:
        paths.benchmark("check_network", "{dataset}", "{architecture}")
    # A network that cannot be used is told before others are trained for hours.
    priority: 100
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        architecture=lambda wildcards: study.architecture_settings(wildcards.architecture),
        compute=COMPUTE,
        code=job_code.checking,
    message:
        "Trying what {wildcards.architecture} supports on {wildcards.dataset}"
    script:
        "../workflow_scripts/check_network.py"


rule train:
    input:
        train=inputs.split("train"),
        validation=inputs.split("validation"),
        support=inputs.support,
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
        seed=lambda wildcards: inputs.planned(wildcards, "base").seed,
        compute=COMPUTE,
        code=job_code.training,
    message:
        "Training {wildcards.base} on {wildcards.dataset}"
    script:
        "../workflow_scripts/train.py"
