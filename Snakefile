from snakemake.utils import min_version

min_version("9.27")

# A study given with --configfile stands alone; the default study is read where none is, below what --config says.
if "study" not in config or not workflow.configfiles:

    include: "rules/default_study.smk"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/compress.smk"
include: "rules/ensemble.smk"
include: "rules/attack.smk"
include: "rules/evaluate.smk"
include: "rules/audit.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/sweep.smk"
include: "rules/features.smk"
include: "rules/efficiency.smk"
include: "rules/explorer.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        targets(study),
    localrule: True


# After the plan and before the first job, whose old outputs Snakemake removes.
onstart:
    refuse_touch(workflow)
    refuse_what_cannot_run(study, workflow)
    tell_jobs()


onsuccess:
    for line in closing(paths):
        print(line)
