rule export:
    input:
        model=model_of("model"),
        test=split_of("test"),
    output:
        file=f"{RESULTS}/exports/{{dataset}}/{{model}}.{{ending}}",
        metadata=f"{RESULTS}/exports/{{dataset}}/{{model}}.{{ending}}.json",
    log:
        f"{RESULTS}/logs/export/{{dataset}}/{{model}}.{{ending}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/export/{{dataset}}/{{model}}.{{ending}}.tsv"
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        images=COMPARED_IMAGES,
        compute=study.compute,
        code=code_digest("export_model.py"),
    message:
        "Exporting {wildcards.model} ({wildcards.dataset}) as {wildcards.ending}"
    script:
        "../workflow_scripts/export_model.py"


rule export_int8:
    input:
        model=model_of("model"),
        test=split_of("test"),
        train=split_of("train"),
    output:
        file=f"{RESULTS}/exports/{{dataset}}/{{model}}.int8.onnx",
        metadata=f"{RESULTS}/exports/{{dataset}}/{{model}}.int8.onnx.json",
        findings=f"{RESULTS}/audit/{{dataset}}/{{model}}.int8.csv",
    log:
        f"{RESULTS}/logs/export_int8/{{dataset}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/export_int8/{{dataset}}/{{model}}.tsv"
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        calibration_images=calibration_of,
        seed=lambda wildcards: planned(wildcards, "model").seed,
        compute=study.compute,
        code=code_digest("export_int8.py"),
    message:
        "Building the int8 model of {wildcards.model} ({wildcards.dataset})"
    script:
        "../workflow_scripts/export_int8.py"


# What was crafted on and for the fake-quantized model, and the very model that is deployed.
rule predict_int8:
    input:
        int8=f"{RESULTS}/exports/{{dataset}}/{{target}}.{INT8}",
        fake_quantized=model_of("target"),
        test=split_of("test"),
        sets=sets_of,
    output:
        f"{RESULTS}/predictions_int8/{{dataset}}/{{target}}/{{source}}.safetensors",
    log:
        f"{RESULTS}/logs/predict_int8/{{dataset}}/{{target}}/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict_int8/{{dataset}}/{{target}}/{{source}}.tsv"
    conda:
        "../envs/deploy.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        compute=study.compute,
        code=code_digest("predict_int8.py"),
    message:
        "Scoring the int8 model of {wildcards.target} on the sets of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/predict_int8.py"


rule write_deployed:
    input:
        int8=predictions_of(int8_pairs(), "predictions_int8"),
        fake_quantized=predictions_of(int8_pairs(), "predictions"),
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        table("deployed"),
    log:
        f"{RESULTS}/logs/write_deployed.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_deployed.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        models=DESCRIPTIONS,
        alpha=study.config["statistics"]["alpha"],
        code=code_digest("write_deployed.py"),
    message:
        "Writing the table of deployed models under attack"
    script:
        "../workflow_scripts/write_deployed.py"


# One job for all models, so that they take turns; it takes every core, so that nothing disturbs it.
rule measure_latency:
    input:
        runs=files_of_runs,
        test=split_of("test"),
    output:
        times=f"{RESULTS}/latency/{{dataset}}.csv",
        machine=f"{RESULTS}/latency/{{dataset}}.machine.json",
    log:
        f"{RESULTS}/logs/measure_latency/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_latency/{{dataset}}.tsv"
    conda:
        "../envs/deploy.yaml"
    threads: EVERY_CORE
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPUS,
    params:
        **{key: EFFICIENCY[key] for key in ("threads", "images", "rounds")},
        runs=lambda wildcards: timed_runs(wildcards.dataset),
        compute=study.compute,
        code=code_digest("measure_latency.py"),
    message:
        "Timing the models of {wildcards.dataset}, alone on this machine"
    script:
        "../workflow_scripts/measure_latency.py"


rule write_efficiency:
    input:
        models=[f"{RESULTS}/models/{dataset}/{name}.safetensors" for dataset, name in study.exports],
        metadata=[f"{export_file(key, ending)}.json" for key, ending in exports()],
        times=expand(f"{RESULTS}/latency/{{dataset}}.csv", dataset=timed_datasets()),
        machines=expand(f"{RESULTS}/latency/{{dataset}}.machine.json", dataset=timed_datasets()),
        clean_accuracy=f"{RESULTS}/tables/clean_accuracy.csv",
    output:
        efficiency=table("efficiency"),
        latency=table("latency"),
    log:
        f"{RESULTS}/logs/write_efficiency.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_efficiency.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        models=[study.describe(dataset, name) for dataset, name in study.exports],
        exports=[(*key, ending) for key, ending in exports()],
        datasets=timed_datasets(),
        code=code_digest("write_efficiency.py"),
    message:
        "Writing the tables of efficiency and latency"
    script:
        "../workflow_scripts/write_efficiency.py"


rule select_variants:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        compression=f"{RESULTS}/tables/compression.csv",
    output:
        table("selected"),
    log:
        f"{RESULTS}/logs/select_variants.log",
    benchmark:
        f"{RESULTS}/benchmarks/select_variants.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        select=study.config["select"],
        code=code_digest("select_variants.py"),
    message:
        "Selecting the smallest models that keep their accuracy"
    script:
        "../workflow_scripts/select_variants.py"


rule plot_latency:
    input:
        f"{RESULTS}/tables/efficiency.csv",
        f"{RESULTS}/tables/latency.csv",
    output:
        report(
            f"{RESULTS}/figures/{{dataset}}/latency.svg",
            caption="../report/latency_figure.rst",
            category="Figures",
            subcategory="Efficiency",
            labels={"data set": "{dataset}", "figure": "latency"},
        ),
        f"{RESULTS}/figures/{{dataset}}/latency.png",
    log:
        f"{RESULTS}/logs/plot_latency/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_latency/{{dataset}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_digest("plot_latency.py"),
    message:
        "Plotting the latencies of {wildcards.dataset}"
    script:
        "../workflow_scripts/plot_latency.py"


rule plot_pareto:
    input:
        efficiency=f"{RESULTS}/tables/efficiency.csv",
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
    output:
        report(
            f"{RESULTS}/figures/{{dataset}}/pareto.svg",
            caption="../report/pareto.rst",
            category="Figures",
            subcategory="Efficiency",
            labels={"data set": "{dataset}", "figure": "robust accuracy against size and latency"},
        ),
        f"{RESULTS}/figures/{{dataset}}/pareto.png",
    log:
        f"{RESULTS}/logs/plot_pareto/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_pareto/{{dataset}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        attack=study.config["select"]["attack"],
        code=code_digest("plot_pareto.py"),
    message:
        "Plotting robust accuracy against size and latency ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_pareto.py"
