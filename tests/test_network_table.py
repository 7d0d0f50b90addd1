"""The table of networks that people bring: what its page says, and, slowly, that every network goes through all."""

import importlib.util
import json
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

# Network -> steps that it is refused.
REFUSED = {"ghostnet_100": ["filter 30 %"]}


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("networks_table", ROOT / "benchmarks/networks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["networks_table"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_table_says(bench, tmp_path, monkeypatch):
    rows = pd.read_csv(bench.FOLDER / "networks.csv", dtype=str, keep_default_na=False).to_dict("records")
    measured = [row["network"] for row in rows]
    assert measured == [name for name in bench.NETWORKS if name in measured]
    assert {row["network"]: bench.refusals(row) for row in rows if not bench.is_whole(row)} == REFUSED
    assert all(row["epochs"] == str(bench.epochs_of(row["network"])) for row in rows)
    (tmp_path / "page.md").write_text((bench.FOLDER / "page.md").read_text())
    written = (bench.FOLDER / "README.md").read_text()
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    bench.write(rows)
    assert (tmp_path / "README.md").read_text() == written


def test_a_row_with_a_reason_is_not_whole_and_none_of_a_network_that_did_not_learn(bench):
    row = {"network": "net", **dict.fromkeys(bench.STEPS, "100%")}
    assert bench.is_whole(row) and bench.is_whole({**row, "trains": "50%", "pgd": "0%"})
    assert not bench.is_whole({**row, "pgd": "not supported: no gradient"})
    assert not bench.is_whole({**row, "trains": "49%"}) and not bench.is_whole({**row, "trains": "not supported: it"})


def test_the_page_tells_reasons_below_the_table_and_counts_what_is_measured(bench, tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("{whole} of {measured} of {all}, {epochs_told}\n{table}")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    told = bench._told
    monkeypatch.setattr(bench, "_told", lambda rows: {**told(rows), "epochs_told": told(rows)["longer_epochs"]})
    row = {"network": "mnasnet0_5", **dict.fromkeys(bench.STEPS, "100%")}
    bench.write([row, {**row, "network": "lcnet_050", "pgd": "not supported: no gradient"}])
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("1 of 2 of 14, 12\n| network |") and page.endswith(
        "- lcnet_050, pgd: not supported: no gradient."
    )
    assert page.count("not supported") == 1 and "| refused |" in page


def test_rows_of_another_training_are_dropped_when_one_is_measured(bench, tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text((bench.FOLDER / "page.md").read_text())
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    rows = {name: {"network": name, "epochs": 6, **dict.fromkeys(bench.STEPS, "100%")} for name in bench.NETWORKS}
    rows["mnasnet0_5"]["epochs"] = 4
    bench.write(list(rows.values())[:7])
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(rows["lcnet_050"]))
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: done)
    bench.main(["lcnet_050"])
    left = [row["network"] for row in pd.read_csv(tmp_path / "networks.csv").to_dict("records")]
    assert "lcnet_050" in left and "resnet10t" not in left and "mobilenet_v3_small" in left
    assert "mnasnet0_5" not in left and "squeezenet1_1" not in left


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x0_5", "squeezenet1_1", "regnet_y_400mf"),
        *("mnasnet0_5", "convnext_tiny", "swin_t", "googlenet", "tiny_vit"),
        *("lcnet_050", "resnet10t", "mobilenetv4_conv_small", "ghostnet_100"),
    ],
)
def test_a_network_goes_through_everything_in_three_gigabytes(bench, name):
    if bench.NETWORKS[name]["kind"] == "timm":
        pytest.importorskip("timm")
    command = [sys.executable, ROOT / "benchmarks/networks.py", "--row", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    assert bench.is_whole(row) or bench.refusals(row) == REFUSED.get(name), row
    assert row["memory (MB)"] < 3 * 1024
