"""Rule write_efficiency: checkpoints, exports, raw times, accuracies -> the tables of efficiency and latency."""

from squeezeproof.jobs import job
from squeezeproof.store.json_files import read_json
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.accuracy import write_csv
from squeezeproof.tables.efficiency import efficiency_table, latency_table
from squeezeproof.tables.frames import read_csv

with job(snakemake):
    params, files, output = snakemake.params, snakemake.input, snakemake.output
    times = {name: read_csv(path) for name, path in zip(params.datasets, files.times, strict=True)}
    machines = {name: read_json(path) for name, path in zip(params.datasets, files.machines, strict=True)}
    latency = latency_table(times, machines)
    write_csv(output.latency, latency)
    sizes = [read_metadata(path, "model")["size"] for path in files.models]
    exports = {tuple(key): read_json(path) for key, path in zip(params.exports, files.metadata, strict=True)}
    clean = read_csv(files.clean_accuracy)
    write_csv(output.efficiency, efficiency_table(params.models, sizes, exports, clean, latency))
