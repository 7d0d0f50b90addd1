"""Studies whose jobs share no disk: what one job writes and another reads goes through a storage."""

import importlib.util
import re
import shutil

import pytest

needs_fs = pytest.mark.skipif(
    importlib.util.find_spec("snakemake_storage_plugin_fs") is None or shutil.which("rsync") is None,
    reason="needs snakemake-storage-plugin-fs and rsync",
)


def stored(node, prefix):
    """Arguments of a run on a machine that shares nothing with others but the storage under a prefix."""
    provider = ["--default-storage-provider", "fs", "--default-storage-prefix", str(prefix)]
    return [*provider, "--local-storage-prefix", str(node / "local"), "--shared-fs-usage", "none"]


@needs_fs
@pytest.mark.slow
def test_two_machines_that_share_a_storage_make_the_tables_of_one(finished, fresh, tmp_path):
    storage, other = tmp_path / "storage", fresh.clone(tmp_path / "other")
    fresh.run(*stored(fresh.path, storage), "--until", "craft")
    other.run(*stored(other.path, storage))
    tables = {path.name: path.read_bytes() for path in storage.glob("results/tiny/tables/*.csv")}
    del tables["crafting.csv"]
    assert tables == finished.tables()
    # Nothing of the study stays on a machine but what its storage keeps for the next job.
    assert not (fresh.path / "results").exists() and not (other.path / "results/tiny/tables").exists()
    assert "the jobs ran on machines that share no disk" in (storage / "results/tiny/story.html").read_text()
    again = other.run(*stored(other.path, storage), "-n")
    assert "Nothing to be done" in again


@pytest.fixture
def bucket(monkeypatch):
    """Arguments of runs whose storage is S3: a bucket of moto's server on loopback, and a client of it."""
    server = pytest.importorskip("moto.server", reason="needs moto; make test-cloud")
    pytest.importorskip("snakemake_storage_plugin_s3", reason="needs the plugins of clouds; make test-cloud")
    server = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url, keys = f"http://{host}:{port}", {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = pytest.importorskip("boto3").client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="studies")
    settings = {"endpoint-url": url, "access-key": "test", "secret-key": "test"}
    options = [text for name, value in settings.items() for text in (f"--storage-s3-{name}", value)]
    provider = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://studies/one"]
    yield [*provider, *options, "--shared-fs-usage", "none"], client
    server.stop()


@pytest.mark.cloud
def test_a_study_on_s3_makes_the_tables_of_one_machine(finished, fresh, bucket):
    arguments, client = bucket
    fresh.run(*arguments)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="studies", Prefix="one/results/tiny/tables/")
    names = [item["Key"] for page in pages for item in page["Contents"] if item["Key"].endswith(".csv")]
    read = {name: client.get_object(Bucket="studies", Key=name)["Body"].read() for name in names}
    tables = {name.rpartition("/")[2]: content for name, content in read.items() if "crafting" not in name}
    assert tables == finished.tables()
    assert not (fresh.path / "results").exists()


@needs_fs
def test_an_altered_table_is_refused_wherever_it_was_written(finished, fresh, tmp_path):
    storage = tmp_path / "storage"
    shutil.copytree(finished.path / "results", storage / "results")
    shutil.copytree(finished.path / "data", storage / "data")
    table = storage / "results/tiny/tables/over_seeds.csv"
    table.write_text(table.read_text().replace("cnn8", "cnn9", 1))
    only = ["--forcerun", "plot_heatmap", "--allowed-rules", "plot_heatmap"]
    output = fresh.run(*stored(fresh.path, storage), *only, ok=False)
    assert "over_seeds.csv: was altered after it was written" in output


def files_of_jobs(workspace, *arguments):
    """(rule, inputs, outputs) of every job of a study."""
    for path in workspace.path.glob("rules/*.smk"):
        # In the place of a job's message a dry run prints its files.
        path.write_text(re.sub(r"^ +message:\n(?: +f?\".*\n)+", "", path.read_text(), flags=re.M))
    found = re.findall(
        r"^(?:local)?rule (\w+):\n(?:    input: (.*)\n)?    output: (.*)$", workspace.run("-n", *arguments), re.M
    )
    plain = [[re.sub(r" \((?:retrieve|send|not).*?\)", "", files).split(", ") for files in job[1:]] for job in found]
    return [(rule, *files) for (rule, *_), files in zip(found, plain, strict=True)]


def test_whoever_reads_or_writes_a_csv_file_declares_its_checksum(fresh):
    fresh.config["efficiency"] = {"models": "*", "threads": [1], "images": 1, "rounds": 1}
    fresh.config["features"] = {"threes": {"models": "*.none.none.s0", "class": "3", "attack": "pgd-eps0.1"}}
    jobs = files_of_jobs(fresh)
    assert len({rule for rule, *_ in jobs}) > 20
    for rule, read, written in jobs:
        # The first waits for the tables without a look at them, the other asks only whether findings were possible.
        others = {"check_audit": "robust_accuracy.csv", "write_unsupported": ".probe.csv"}
        unread = {path for path in read if rule in others and path.endswith(others[rule])}
        for files in (read, written):
            tables = {path for path in files if path.endswith(".csv")} - unread
            assert {f"{path}.sha256" for path in tables} <= set(files), rule


@needs_fs
def test_what_is_the_users_own_is_brought_to_the_storage(fresh, tmp_path):
    (fresh.path / "my").mkdir()
    (fresh.path / "my/weights.safetensors").write_bytes(b"")
    (fresh.path / "my/published.csv").write_text("")
    fresh.config["architectures"]["cnn8"]["checkpoint"] = "my/weights.safetensors"
    fresh.config["published"] = {"table": "my/published.csv", "tables": ["1"]}
    jobs = files_of_jobs(fresh, *stored(fresh.path, tmp_path / "storage"))
    copies = {}
    for rule, read, written in jobs:
        if rule == "bring":
            copies |= dict(zip(read, written, strict=True))
        # What jobs elsewhere read is in the storage, or comes with the workflow's own files.
        elsewhere = [path for path in read if not path.startswith(str(tmp_path / "storage")) and path]
        assert rule in ("bring", "prepare", "prepare_test") or all(path.startswith("report/") for path in elsewhere), (
            elsewhere
        )
    assert len(copies) == 2
    assert all(copy.endswith(f"storage/data/brought/{own}") for own, copy in copies.items())
    assert not [rule for rule, *_ in files_of_jobs(fresh) if rule == "bring"]
