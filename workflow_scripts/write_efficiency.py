"""Rule write_efficiency: checkpoints, exports, raw times, accuracies -> tables of sizes, latencies and speedups."""

from squeezeproof.analysis.efficiency import efficiency_table, latency_table
from squeezeproof.analysis.speedups import speedups
from squeezeproof.jobs import job
from squeezeproof.markers import supported_with
from squeezeproof.store.json_files import read_json
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.files import read_csv, read_table, write_table

with job(snakemake):
    params, files, output = snakemake.params, snakemake.input, snakemake.output
    times = {name: read_csv(path) for name, path in zip(params.datasets, files.times, strict=True)}
    machines = {name: read_json(path) for name, path in zip(params.datasets, files.machines, strict=True)}
    latency = latency_table(times, machines)
    write_table(output.latency, latency)
    paths, models = supported_with(files.models, params.models)
    write_table(output.speedups, speedups(times, models, params.alpha))
    sizes = [read_metadata(path, "model")["size"] for path in paths]
    found = zip(*supported_with(files.metadata, params.exports), strict=True)
    exports = {tuple(key): read_json(path) for path, key in found}
    clean = read_table(files.clean_accuracy)
    write_table(output.efficiency, efficiency_table(models, sizes, exports, clean, latency))
