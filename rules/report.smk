rule write_tables:
    input:
        predictions=[
            f"{RESULTS}/predictions/{dataset}/{target}/{source}.safetensors" for dataset, target, source in study.pairs
        ],
        models=[f"{RESULTS}/models/{dataset}/{name}.safetensors" for dataset, name in study.evaluated_models],
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        **{name: table(name) for name in TABLES},
    log:
        f"{RESULTS}/logs/write_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_tables.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        models=[study.describe(dataset, name) for dataset, name in study.evaluated_models],
        code=code_digest("write_tables.py"),
    message:
        "Writing the tables"
    script:
        "../workflow_scripts/write_tables.py"


rule write_verdicts:
    input:
        predictions=[
            f"{RESULTS}/predictions/{dataset}/{target}/{source}.safetensors" for dataset, target, source in study.pairs
        ],
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        **{name: table(name) for name in VERDICTS},
    log:
        f"{RESULTS}/logs/write_verdicts.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_verdicts.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        models=[study.describe(dataset, name) for dataset, name in study.evaluated_models],
        statistics=study.config["statistics"],
        code=code_digest("write_verdicts.py"),
    message:
        "Writing the verdicts"
    script:
        "../workflow_scripts/write_verdicts.py"


rule write_costs:
    input:
        adversarial_sets(),
    output:
        table("crafting"),
    log:
        f"{RESULTS}/logs/write_costs.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_costs.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code_digest("write_costs.py"),
    message:
        "Writing the table of crafting costs"
    script:
        "../workflow_scripts/write_costs.py"


rule write_stages:
    input:
        sets=adversarial_sets(of_suites=True),
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        table("stages"),
    log:
        f"{RESULTS}/logs/write_stages.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_stages.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code_digest("write_stages.py"),
    message:
        "Writing the table of cumulative suites"
    script:
        "../workflow_scripts/write_stages.py"


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
        mem_mb=1000,
        runtime=30,
    params:
        code=code_digest("plot_heatmap.py"),
    message:
        "Plotting the source x target matrix of {wildcards.attack} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_heatmap.py"


rule plot_ratio:
    input:
        f"{RESULTS}/tables/over_seeds.csv",
    output:
        report(
            f"{RESULTS}/figures/{{dataset}}/accuracy_against_ratio.{{architecture}}.svg",
            caption="../report/accuracy_against_ratio.rst",
            category="Figures",
            subcategory="Accuracy against ratio",
            labels={"data set": "{dataset}", "architecture": "{architecture}"},
        ),
        f"{RESULTS}/figures/{{dataset}}/accuracy_against_ratio.{{architecture}}.png",
    log:
        f"{RESULTS}/logs/plot_ratio/{{dataset}}/{{architecture}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_ratio/{{dataset}}/{{architecture}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code_digest("plot_ratio.py"),
    message:
        "Plotting accuracy against ratio of {wildcards.architecture} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_ratio.py"


rule compare_published:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        clean_accuracy=f"{RESULTS}/tables/clean_accuracy.csv",
        published=lambda wildcards: study.published["table"],
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
        mem_mb=1000,
        runtime=30,
    params:
        published=study.published,
        code=code_digest("compare_published.py"),
    message:
        "Setting the results beside the published numbers"
    script:
        "../workflow_scripts/compare_published.py"
