rule plot_heatmap:
    input:
        paths.table("over_seeds"),
    output:
        figure("heatmap"),
    log:
        paths.log("plot_heatmap", "{dataset}", "{attack}"),
    benchmark:
        paths.benchmark("plot_heatmap", "{dataset}", "{attack}")
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
        over_seeds=paths.table("over_seeds"),
        verdicts=paths.table("verdicts"),
        clean=paths.table("clean_differences"),
    output:
        accuracy=figure("accuracy_against_ratio"),
        differences=figure("accuracy_differences"),
    log:
        paths.log("plot_ratio", "{dataset}", "{architecture}"),
    benchmark:
        paths.benchmark("plot_ratio", "{dataset}", "{architecture}")
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
        models=lambda wildcards: every(paths.model, models_on(wildcards)),
        histories=lambda wildcards: every(paths.history, models_on(wildcards)),
    output:
        weights=figure("weights"),
        training=figure("training"),
    log:
        paths.log("plot_models", "{dataset}"),
    benchmark:
        paths.benchmark("plot_models", "{dataset}")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        models=lambda wildcards: described(models_on(wildcards)),
        code=code_digest("plot_models.py"),
    message:
        "Plotting weights and training of the models on {wildcards.dataset}"
    script:
        "../workflow_scripts/plot_models.py"


rule plot_images:
    input:
        sets=sets_crafted_on("base"),
        test=split_of("test"),
        audit=paths.table("audit"),
    output:
        figure("images"),
    log:
        paths.log("plot_images", "{dataset}", "{base}"),
    benchmark:
        paths.benchmark("plot_images", "{dataset}", "{base}")
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
        over_seeds=paths.table("over_seeds"),
        clean_accuracy=paths.table("clean_accuracy"),
        published=lambda wildcards: study.published["table"],
        stages=stages(),
    output:
        table=table("published"),
        figure=figure("published"),
    log:
        paths.log("compare_published"),
    benchmark:
        paths.benchmark("compare_published")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        published=study.published,
        models=described(study.evaluated_models),
        code=code_digest("compare_published.py"),
    message:
        "Setting the results beside the published numbers"
    script:
        "../workflow_scripts/compare_published.py"
