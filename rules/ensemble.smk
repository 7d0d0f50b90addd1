rule build_ensemble:
    input:
        members_of,
    output:
        f"{RESULTS}/models/{{dataset}}/{{ensemble}}.safetensors",
    log:
        f"{RESULTS}/logs/build_ensemble/{{dataset}}/{{ensemble}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/build_ensemble/{{dataset}}/{{ensemble}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code_digest("build_ensemble.py"),
    message:
        "Joining the members of {wildcards.ensemble} ({wildcards.dataset})"
    script:
        "../workflow_scripts/build_ensemble.py"
