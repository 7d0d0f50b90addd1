"""Rule bring: a file of the user's -> its copy in the storage, where jobs on other machines find it."""

import shutil

from squeezeproof.atomic import replacing
from squeezeproof.jobs import job

with job(snakemake), replacing(snakemake.output[0]) as temporary:
    shutil.copyfile(snakemake.input[0], temporary)
