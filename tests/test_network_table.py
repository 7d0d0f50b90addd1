"""The table of networks that people bring: what its page says, and, slowly, that every network goes through all."""

import importlib.util
import json
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT


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
    assert measured == [name for name in bench.NETWORKS if name in measured] and all(map(bench.is_whole, rows))
    (tmp_path / "page.md").write_text((bench.FOLDER / "page.md").read_text())
    written = (bench.FOLDER / "README.md").read_text()
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    bench.write(rows)
    assert (tmp_path / "README.md").read_text() == written


def test_a_row_with_a_reason_is_not_whole(bench):
    row = {"network": "net", **dict.fromkeys(bench.STEPS, "100%")}
    assert bench.is_whole(row) and not bench.is_whole({**row, "pgd": "not supported: no gradient"})


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
    assert bench.is_whole(row), row
    assert row["memory (MB)"] < 3 * 1024
