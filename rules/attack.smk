rule craft:
    input:
        source=inputs.model("source"),
        test=inputs.split("test"),
        train=inputs.training_images_of_attack,
        fitted=inputs.fitted,
    output:
        paths.adversarial_set("{dataset}", "{source}", "{attack}"),
    log:
        paths.log("craft", "{dataset}", "{source}", "{attack}"),
    benchmark:
        paths.benchmark("craft", "{dataset}", "{source}", "{attack}")
    wildcard_constraints:
        dataset=UNSHARDED,
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=GPUS,
        batch_size=BATCH_SIZE,
    params:
        attack=lambda wildcards: study.attacks[wildcards.attack].settings,
        entry=lambda wildcards: study.attacks[wildcards.attack].entry,
        seed=lambda wildcards: derive_seed(wildcards.source, wildcards.attack),
        compute=COMPUTE,
        code=job_code.crafting,
    message:
        "Crafting {wildcards.attack} on {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/craft.py"


# Once for all shards of a set.
rule fit_attack:
    input:
        source=inputs.model("source"),
        test=inputs.split("test"),
        train=inputs.training_images_of_attack,
    output:
        temp(paths.fitted("{dataset}", "{source}", "{attack}")),
    log:
        paths.log("fit_attack", "{dataset}", "{source}", "{attack}"),
    benchmark:
        paths.benchmark("fit_attack", "{dataset}", "{source}", "{attack}")
    wildcard_constraints:
        dataset=SHARDED,
    conda:
        "../envs/torch.yaml"
    threads: study.compute["threads"]
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=GPUS,
        batch_size=BATCH_SIZE,
    params:
        attack=lambda wildcards: study.attacks[wildcards.attack].settings,
        seed=lambda wildcards: derive_seed(wildcards.source, wildcards.attack),
        compute=COMPUTE,
        code=lambda wildcards: job_code.crafting(wildcards, "fit_attack.py"),
    message:
        "Fitting {wildcards.attack} to {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/fit_attack.py"


# A shard is kept until its set is whole: what is killed costs the shards that it ran.
use rule craft as craft_shard with:
    output:
        temp(paths.adversarial_set("{dataset}", "{source}", SHARD)),
    log:
        paths.log("craft_shard", "{dataset}", "{source}", SHARD),
    benchmark:
        paths.benchmark("craft_shard", "{dataset}", "{source}", SHARD)
    wildcard_constraints:
        dataset=SHARDED,
        shard=r"\d+",
        shards=r"\d+",
    message:
        "Crafting shard {wildcards.shard} of {wildcards.shards} of {wildcards.attack} on {wildcards.source} "
        "({wildcards.dataset})"


# It has the inputs and params of its shards, for these are gone when it is asked whether the set is up to date.
rule join_shards:
    input:
        shards=inputs.shards,
        source=inputs.model("source"),
        test=inputs.split("test"),
        train=inputs.training_images_of_attack,
    output:
        paths.adversarial_set("{dataset}", "{source}", "{attack}"),
    log:
        paths.log("join_shards", "{dataset}", "{source}", "{attack}"),
    benchmark:
        paths.benchmark("join_shards", "{dataset}", "{source}", "{attack}")
    wildcard_constraints:
        dataset=SHARDED,
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        attack=lambda wildcards: study.attacks[wildcards.attack].settings,
        entry=lambda wildcards: study.attacks[wildcards.attack].entry,
        seed=lambda wildcards: derive_seed(wildcards.source, wildcards.attack),
        compute=COMPUTE,
        code=lambda wildcards: code_digest("join_shards.py") + job_code.crafting(wildcards),
    message:
        "Joining the shards of {wildcards.attack} on {wildcards.source} ({wildcards.dataset})"
    script:
        "../workflow_scripts/join_shards.py"
