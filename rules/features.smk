rule features:
    input:
        model=inputs.model("model"),
        test=inputs.split("test"),
        set=inputs.set_of_features,
    output:
        paths.features("{dataset}", "{model}", "{features}"),
    log:
        paths.log("features", "{dataset}", "{model}", "{features}"),
    benchmark:
        paths.benchmark("features", "{dataset}", "{model}", "{features}")
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
        gpu=GPUS,
        batch_size=BATCH_SIZE,
    params:
        settings=lambda wildcards: study.config["features"][wildcards.features],
        compute=COMPUTE,
        code=job_code.on("features.py", "model"),
    message:
        "Reading the layers of {wildcards.model} ({wildcards.dataset}) for {wildcards.features}"
    script:
        "../workflow_scripts/features.py"


rule tsne:
    input:
        paths.features("{dataset}", "{model}", "{features}"),
    output:
        paths.tsne("{dataset}", "{model}", "{features}"),
        checksum(paths.tsne("{dataset}", "{model}", "{features}")),
    log:
        paths.log("tsne", "{dataset}", "{model}", "{features}"),
    benchmark:
        paths.benchmark("tsne", "{dataset}", "{model}", "{features}")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        perplexity=lambda wildcards: study.config["features"][wildcards.features]["perplexity"],
        seed=lambda wildcards: study.config["features"][wildcards.features]["seed"],
        code=code_digest("tsne.py"),
    message:
        "Embedding the features of {wildcards.model} ({wildcards.dataset}) for {wildcards.features}"
    script:
        "../workflow_scripts/tsne.py"
