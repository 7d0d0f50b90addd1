rule build_ensemble:
    input:
        inputs.members,
    output:
        paths.model("{dataset}", "{ensemble}"),
    log:
        paths.log("build_ensemble", "{dataset}", "{ensemble}"),
    benchmark:
        paths.benchmark("build_ensemble", "{dataset}", "{ensemble}")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=job_code.on("build_ensemble.py", "ensemble"),
    message:
        "Joining the members of {wildcards.ensemble} ({wildcards.dataset})"
    script:
        "../workflow_scripts/build_ensemble.py"
