"""Every `-small` study of the papers, run to its end by the real Snakemake on real images: minutes each.

CIFAR-10 is read from class folders of JPEG files where torchvision's own files are not there.
"""

import copy

import pandas as pd
import pytest
from conftest import ROOT, Workspace
from show_plan import configured
from study_examples import merged

pytestmark = pytest.mark.slow

RAW = ROOT / "data/raw"
JPEG = {"kind": "image_folder", "root": "data/raw/cifar10_jpeg", "size": 32}
# Data set -> (a folder that holds it, settings other than the study's); the first that is there is read.
SOURCES = {
    "mnist": [("MNIST/raw", {"download": False})],
    "fashion_mnist": [("FashionMNIST/raw", {"download": False})],
    "cifar10": [("cifar-10-batches-py", {"download": False}), ("cifar10_jpeg", JPEG)],
}
STUDIES = sorted((ROOT / "studies").glob("*-small.yaml"))


def on_local_images(config):
    """The config with its data sets read from `data/raw`; skips where one that it evaluates is not there."""
    config = copy.deepcopy(config)
    small = {name: settings for name, settings in config["datasets"].items() if settings.get("train")}
    for name, settings in small.items():
        found = [more for folder, more in SOURCES[name] if (RAW / folder).is_dir()]
        if not found:
            pytest.skip(f"{name} is not in data/raw")
        config["datasets"][name] = merged(settings, found[0])
    return config


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_small_study_ends_in_every_table_and_figure(path, tmp_path):
    config = on_local_images(configured(path))
    workspace = Workspace.create(tmp_path / "study", config)
    (workspace.path / "data").mkdir()
    (workspace.path / "data/raw").symlink_to(RAW.resolve())
    workspace.run()
    assert workspace.planned() == {}
    audit = pd.read_csv(workspace.results / "tables/audit.csv")
    assert not (audit.verdict == "failure").any()
    clean = pd.read_csv(workspace.results / "tables/clean_accuracy.csv")
    bases = clean[clean.compression == "none"]
    assert (bases.accuracy > 0.15).all(), bases[["model", "accuracy"]]
