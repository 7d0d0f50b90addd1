rule plot_heatmap:
    input:
        f"{RESULTS}/tables/over_seeds.csv",
    output:
        report(
            f"{RESULTS}/figures/{{dataset}}/heatmap.{{attack}}.svg",
            caption="../report/heatmap.rst",
            category="Figures",
            subcategory="Source x target",
            labels={"data set": "{dataset}", "attack": "{attack}"},
        ),
        f"{RESULTS}/figures/{{dataset}}/heatmap.{{attack}}.png",
    log:
        f"{RESULTS}/logs/plot_heatmap/{{dataset}}/{{attack}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_heatmap/{{dataset}}/{{attack}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("plot_heatmap.py"),
    message:
        "Plotting the source x target matrix of {wildcards.attack} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_heatmap.py"


rule plot_ratio:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        verdicts=f"{RESULTS}/tables/verdicts.csv",
        clean=f"{RESULTS}/tables/clean_differences.csv",
    output:
        accuracy=figure(
            "{dataset}/accuracy_against_ratio.{architecture}",
            "accuracy_against_ratio",
            "Accuracy against compression",
            **{"data set": "{dataset}", "architecture": "{architecture}", "shown": "accuracy"},
        ),
        differences=figure(
            "{dataset}/accuracy_differences.{architecture}",
            "accuracy_differences",
            "Accuracy against compression",
            **{"data set": "{dataset}", "architecture": "{architecture}", "shown": "difference to base"},
        ),
        accuracy_png=f"{RESULTS}/figures/{{dataset}}/accuracy_against_ratio.{{architecture}}.png",
        differences_png=f"{RESULTS}/figures/{{dataset}}/accuracy_differences.{{architecture}}.png",
    log:
        f"{RESULTS}/logs/plot_ratio/{{dataset}}/{{architecture}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_ratio/{{dataset}}/{{architecture}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_digest("plot_ratio.py"),
    message:
        "Plotting accuracy against ratio of {wildcards.architecture} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_ratio.py"


rule plot_models:
    input:
        models=models_files("safetensors"),
        histories=models_files("history.csv"),
    output:
        weights=figure(
            "{dataset}/weights",
            "weights",
            "Models",
            **{"data set": "{dataset}", "shown": "weights"},
        ),
        training=figure(
            "{dataset}/training",
            "training",
            "Models",
            **{"data set": "{dataset}", "shown": "training"},
        ),
        weights_png=f"{RESULTS}/figures/{{dataset}}/weights.png",
        training_png=f"{RESULTS}/figures/{{dataset}}/training.png",
    log:
        f"{RESULTS}/logs/plot_models/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_models/{{dataset}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        models=lambda wildcards: [study.describe(wildcards.dataset, name) for name in models_on(wildcards.dataset)],
        code=code_digest("plot_models.py"),
    message:
        "Plotting weights and training of the models on {wildcards.dataset}"
    script:
        "../workflow_scripts/plot_models.py"


rule plot_images:
    input:
        sets=sets_crafted_on("base"),
        test=split_of("test"),
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        figure(
            "{dataset}/images.{base}",
            "images",
            "Adversarial images",
            **{"data set": "{dataset}", "source": "{base}"},
        ),
        f"{RESULTS}/figures/{{dataset}}/images.{{base}}.png",
    log:
        f"{RESULTS}/logs/plot_images/{{dataset}}/{{base}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_images/{{dataset}}/{{base}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        attacks=lambda wildcards: study.sets[wildcards.dataset, wildcards.base],
        code=code_digest("plot_images.py"),
    message:
        "Showing adversarial images of {wildcards.base} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_images.py"


rule compare_published:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        clean_accuracy=f"{RESULTS}/tables/clean_accuracy.csv",
        published=lambda wildcards: study.published["table"],
        stages=STAGES,
    output:
        table=table("published"),
        svg=report(
            f"{RESULTS}/figures/published.svg",
            caption="../report/published.rst",
            category="Figures",
            subcategory="Ours beside published",
            labels={"figure": "ours beside published"},
        ),
        png=f"{RESULTS}/figures/published.png",
    log:
        f"{RESULTS}/logs/compare_published.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_published.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        published=study.published,
        models=DESCRIPTIONS,
        code=code_digest("compare_published.py"),
    message:
        "Setting the results beside the published numbers"
    script:
        "../workflow_scripts/compare_published.py"
