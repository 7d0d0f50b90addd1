rule sweep:
    input:
        source=model_of("source"),
        test=split_of("test"),
        train=training_images_of_sweep,
    output:
        f"{RESULTS}/sweeps/{{dataset}}/{{source}}/{{sweep}}.safetensors",
    log:
        f"{RESULTS}/logs/sweep/{{dataset}}/{{source}}/{{sweep}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sweep/{{dataset}}/{{source}}/{{sweep}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(720),
        gpu=GPUS,
    params:
        attacks=attacks_of_sweep,
        stops=lambda wildcards: study.sweeps[wildcards.sweep].stops,
        shards=lambda wildcards: study.datasets[wildcards.dataset].shards,
        compute=study.compute,
        code=code_digest("sweep.py"),
    message:
        "Attacking {wildcards.source} ({wildcards.dataset}) at the rising eps of {wildcards.sweep}"
    script:
        "../workflow_scripts/sweep.py"


rule write_sweeps:
    input:
        sweeps=swept(),
        audit=f"{RESULTS}/tables/audit.csv",
    output:
        table("sweeps"),
    log:
        f"{RESULTS}/logs/write_sweeps.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_sweeps.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=[study.describe(dataset, name) for dataset, name, _ in study.curves],
        code=code_digest("write_sweeps.py"),
    message:
        "Writing the table of sweeps"
    script:
        "../workflow_scripts/write_sweeps.py"


rule plot_sweep:
    input:
        f"{RESULTS}/tables/sweeps.csv",
    output:
        figure(
            "{dataset}/accuracy_against_eps.{sweep}",
            "accuracy_against_eps",
            "Accuracy against eps",
            **{"data set": "{dataset}", "sweep": "{sweep}"},
        ),
        f"{RESULTS}/figures/{{dataset}}/accuracy_against_eps.{{sweep}}.png",
    log:
        f"{RESULTS}/logs/plot_sweep/{{dataset}}/{{sweep}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_sweep/{{dataset}}/{{sweep}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_digest("plot_sweep.py"),
    message:
        "Plotting white-box accuracy against the eps of {wildcards.sweep} ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_sweep.py"


rule plot_transfer:
    input:
        over_seeds=f"{RESULTS}/tables/over_seeds.csv",
        clean_accuracy=f"{RESULTS}/tables/clean_accuracy.csv",
        test=split_of("test"),
    output:
        figure(
            "{dataset}/transfer.{origin}.{entry}",
            "transfer",
            "Transfer against eps",
            **{"data set": "{dataset}", "source": "{origin}", "attack": "{entry}"},
        ),
        f"{RESULTS}/figures/{{dataset}}/transfer.{{origin}}.{{entry}}.png",
    log:
        f"{RESULTS}/logs/plot_transfer/{{dataset}}/{{origin}}.{{entry}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_transfer/{{dataset}}/{{origin}}.{{entry}}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        source=described_origin,
        attacks=lambda wildcards: study.transfers[wildcards.dataset, wildcards.origin, wildcards.entry],
        code=code_digest("plot_transfer.py"),
    message:
        "Plotting what {wildcards.entry} on {wildcards.origin} does to every target ({wildcards.dataset})"
    script:
        "../workflow_scripts/plot_transfer.py"
