rule craft:
    input:
        source=model_of("source"),
        test=split_of("test"),
        train=training_images_of_attack,
    output:
        f"{RESULTS}/adversarial/{{dataset}}/{{source}}/{{attack}}.safetensors",
    log:
        f"{RESULTS}/logs/craft/{{dataset}}/{{source}}/{{attack}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/craft/{{dataset}}/{{source}}/{{attack}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=GPUS,
    params:
        attack=lambda wildcards: study.attacks[wildcards.attack].settings,
        seed=lambda wildcards: derive_seed(wildcards.source, wildcards.attack),
        compute=study.compute,
        code=code_digest("craft.py"),
    message:
        "Crafting {wildcards.attack} on {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/craft.py"
