from snakemake.utils import min_version

min_version("9.0")

# A study given with --configfile stands alone; the default study is read where none is.
if "study" not in config:

    configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/compress.smk"
include: "rules/attack.smk"
include: "rules/evaluate.smk"
include: "rules/audit.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        final_outputs(),
    localrule: True


onsuccess:
    print(f"Tables and figures of the study {study.name} are in {RESULTS}/tables and {RESULTS}/figures.")
