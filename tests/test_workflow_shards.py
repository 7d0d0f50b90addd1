"""A study whose sets are crafted in shards, run by the real workflow."""

import copy

import numpy as np
import pandas as pd
import pytest
from conftest import TABLES, TINY
from safetensors.numpy import load_file

from squeezeproof.store.tensors import read_metadata
from squeezeproof.study.estimate import Size, jobs
from squeezeproof.study.plan import Study

BASE = "cnn8.standard.none.none.s0"
SET = f"adversarial/digits/{BASE}/pgd-eps0.1"
# What comes after a set, whichever way it was crafted.
AFTER = ["predict", "audit_sets", "write_costs"]


@pytest.fixture
def sharded(study):
    """The finished tiny study, to be crafted again in three shards of 13, 13 and 14 images."""
    study.config["datasets"]["digits"]["shards"] = 3
    return study


def test_shards_give_the_tables_of_whole_sets(finished, sharded):
    planned = sharded.planned()
    assert planned.keys() & {"prepare", "train", "compress", "craft"} == set()
    assert (planned["craft_shard"], planned["join_shards"]) == (6, 2)
    assert planned.keys() >= set(AFTER)
    sharded.run(TABLES)
    assert sharded.tables() == finished.tables()
    first, second = (load_file(workspace.results / f"{SET}.safetensors") for workspace in (finished, sharded))
    np.testing.assert_allclose(first["adversarial"], second["adversarial"], rtol=0, atol=1e-6)
    costs = [pd.read_csv(workspace.results / "tables/crafting.csv") for workspace in (finished, sharded)]
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in costs))
    assert not list(sharded.results.glob("adversarial/**/*shard*"))
    assert len(list(sharded.results.glob("benchmarks/craft_shard/**/*.tsv"))) == 6
    sizes = {("digits", "cnn8"): Size(1000, 0, 0)}
    known = [job.benchmark for job in jobs(Study(copy.deepcopy(sharded.config)), sizes)]
    assert all((sharded.results / "benchmarks" / name).is_file() for name in known)
    assert sharded.planned(TABLES) == {}
    changed_attack_code(sharded)
    again = sharded.planned(TABLES)
    # Of the two attacks, the one whose code changed.
    assert (again["craft_shard"], again["join_shards"]) == (3, 1) and "craft" not in again


def changed_attack_code(study):
    path = study.path / "workflow_scripts/squeezeproof/attacks/pgd.py"
    path.write_text(path.read_text() + "\nCHANGED = True\n")


def test_what_is_killed_loses_the_shards_that_ran_and_a_missing_one_is_crafted_alone(sharded):
    target = f"results/tiny/{SET}.safetensors"
    logs = sharded.results / f"logs/craft_shard/digits/{BASE}"
    # Two jobs run at a time: the third begins when one has ended.
    process = sharded.start("--notemp", target)
    sharded.kill_when(process, lambda: len(list(logs.glob("*.log"))) == 3)
    sharded.run("--unlock")
    left = sharded.planned(target)
    assert left in [{"craft_shard": count, "join_shards": 1} for count in (1, 2)]
    shards = {path: path.stat().st_mtime_ns for path in sharded.results.glob(f"{SET}.shard*of3.safetensors")}
    sharded.run("--notemp", target)
    kept = [path for path, written in shards.items() if path.stat().st_mtime_ns == written]
    assert len(kept) == 3 - left["craft_shard"]
    metadata = read_metadata(sharded.results / f"{SET}.safetensors", "adversarial")
    assert metadata["n"] == 40 and "shard" not in metadata

    assert sharded.planned(target) == {}
    (sharded.results / f"{SET}.safetensors").unlink()
    (sharded.results / f"{SET}.shard2of3.safetensors").unlink()
    assert sharded.planned(target) == {"craft_shard": 1, "join_shards": 1}


def test_shards_of_one_data_set_leave_the_others_alone(fresh):
    fresh.config["datasets"]["other"] = {**copy.deepcopy(TINY["datasets"]["digits"]), "kind": "digits", "shards": 2}
    planned = fresh.planned()
    assert (planned["craft"], planned["craft_shard"], planned["join_shards"]) == (2, 4, 2)
