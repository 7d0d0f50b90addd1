rule features:
    input:
        model=model_of("model"),
        test=split_of("test"),
        set=set_of_features,
    output:
        f"{RESULTS}/features/{{dataset}}/{{model}}/{{features}}.safetensors",
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{model}}/{{features}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{dataset}}/{{model}}/{{features}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
        gpu=GPUS,
    params:
        settings=lambda wildcards: study.config["features"][wildcards.features],
        compute=study.compute,
        code=code_digest("features.py"),
    message:
        "Reading the layers of {wildcards.model} ({wildcards.dataset}) for {wildcards.features}"
    script:
        "../workflow_scripts/features.py"


rule tsne:
    input:
        f"{RESULTS}/features/{{dataset}}/{{model}}/{{features}}.safetensors",
    output:
        f"{RESULTS}/features/{{dataset}}/{{model}}/{{features}}.tsne.csv",
    log:
        f"{RESULTS}/logs/tsne/{{dataset}}/{{model}}/{{features}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tsne/{{dataset}}/{{model}}/{{features}}.tsv"
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


rule plot_tsne:
    input:
        coordinates=f"{RESULTS}/features/{{dataset}}/{{model}}/{{features}}.tsne.csv",
        features=f"{RESULTS}/features/{{dataset}}/{{model}}/{{features}}.safetensors",
    output:
        figure(
            "{dataset}/tsne.{features}.{model}",
            "tsne",
            "Layer features",
            **{"data set": "{dataset}", "model": "{model}", "features": "{features}"},
        ),
        f"{RESULTS}/figures/{{dataset}}/tsne.{{features}}.{{model}}.png",
    log:
        f"{RESULTS}/logs/plot_tsne/{{dataset}}/{{features}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_tsne/{{dataset}}/{{features}}.{{model}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("plot_tsne.py"),
    message:
        "Plotting the features of {wildcards.model} ({wildcards.dataset}) for {wildcards.features}"
    script:
        "../workflow_scripts/plot_tsne.py"
