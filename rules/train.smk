rule train:
    input:
        train=split_of("train"),
        validation=split_of("validation"),
        checkpoint=checkpoint_of,
    output:
        model=f"{RESULTS}/models/{{dataset}}/{{base}}.safetensors",
        history=f"{RESULTS}/models/{{dataset}}/{{base}}.history.csv",
    log:
        f"{RESULTS}/logs/train/{{dataset}}/{{base}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{dataset}}/{{base}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=GPUS,
    params:
        architecture=architecture_of,
        training=lambda wildcards: study.training_settings(planned(wildcards, "base").training),
        seed=lambda wildcards: planned(wildcards, "base").seed,
        compute=study.compute,
        code=training_code,
    message:
        "Training {wildcards.base} on {wildcards.dataset}"
    script:
        "../workflow_scripts/train.py"
