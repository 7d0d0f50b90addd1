rule predict:
    input:
        target=inputs.model("target"),
        test=inputs.split("test"),
        sets=inputs.sets_of_pair,
    output:
        paths.predictions("{dataset}", "{target}", "{source}"),
    log:
        paths.log("predict", "{dataset}", "{target}", "{source}"),
    benchmark:
        paths.benchmark("predict", "{dataset}", "{target}", "{source}")
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
        batch_size=BATCH_SIZE,
    params:
        expectation=expectation_of("target"),
        compute=COMPUTE,
        code=job_code.on("predict.py", "target"),
    message:
        "Scoring {wildcards.target} on the sets of {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/predict.py"
