"""Rule measure_latency: every deployed model of a data set -> raw times on all back-ends, and the machine."""

from squeezeproof.deployment.latency import contenders, machine, measure_latency, write_times
from squeezeproof.jobs import job
from squeezeproof.markers import supported_with
from squeezeproof.runtime import set_up
from squeezeproof.store.json_files import write_json

with job(snakemake):
    params, files = snakemake.params, snakemake.input
    device = set_up(params.compute, snakemake.config)
    paths, runs = supported_with(files.runs, params.runs)
    found = contenders(runs, paths, params.threads, device)
    times = measure_latency(found, files.test, params.images, params.rounds)
    write_times(snakemake.output.times, times)
    write_json(snakemake.output.machine, machine(device))
