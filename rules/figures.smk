# A rule per figure: each module of the library's package `figures` declares one.
for name, figure in figures().items():

    rule:
        name:
            f"plot_{name}"
        input:
            unpack(needs_of(figure)),
        output:
            files_of(figure),
        log:
            paths.log(f"plot_{name}", *wildcards_of(figure)),
        benchmark:
            paths.benchmark(f"plot_{name}", *wildcards_of(figure))
        group:
            "figures"
        conda:
            "../envs/report.yaml"
        threads: 1
        resources:
            mem_mb=growing(figure.mem_mb),
            runtime=growing(30),
        params:
            figure=name,
            params=params_of(figure),
            caption=caption_of(figure),
            code=code_digest("plot.py", f"squeezeproof.figures.{name}"),
        message:
            f"Plotting {name.replace('_', ' ')}{subject_of(figure)}"
        script:
            "../workflow_scripts/plot.py"
