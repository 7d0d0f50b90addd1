"""Seconds of a training epoch against a plain PyTorch loop: `python benchmarks/training.py`.

The plain loop is the one of PyTorch's tutorials: a data set of images with ToTensor and Normalize behind a DataLoader,
and torchattacks' PGD for adversarial training; `tensor loop` has the normalised tensors in memory instead of images.
Same network, batches of 128, optimizer, steps and one thread (on a CPU); each contestant has a process of its own, ours
set up as a job is, and rounds are interleaved, every other one in the opposite order. The table shows medians of CPU
seconds (wall seconds on a GPU) and every time as a multiple of ours.
`ADMM` is an adversarial epoch of ours that compresses, too; `bfloat16` is ours with `precision: bfloat16`.
`--write docs/benchmarks/training.csv` keeps the table.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "benchmarks")]

from rounds import contest

from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.weights import prunable
from squeezeproof.models.build import initial_model, specification
from squeezeproof.runtime import keep_memory, place, repeat_on_gpus
from squeezeproof.study.schema import check_config
from squeezeproof.training.admm import Admm
from squeezeproof.training.loop import fit

OURS, BATCH, PGD = "SqueezeProof", 128, {"method": "pgd", "eps": 0.1, "alpha": 0.025, "steps": 7}
# Network -> (channels, image size, its settings).
NETWORKS = {
    "cnn3": (1, 28, {"kind": "cnn3", "normalization": "dataset"}),
    "cnn8": (1, 28, {"kind": "cnn8", "normalization": "dataset"}),
    "resnet18-16": (3, 32, {"kind": "resnet18", "width": 16}),
    "resnet18": (3, 32, {"kind": "resnet18"}),
}
PLAIN = ("plain loop", "tensor loop")
IMAGES = {"standard": 6400, "pgd-7": 2560}
MEAN, STD = 0.5, 0.25


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=["cnn3", "cnn8", "resnet18-16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models:
        for mode in IMAGES:
            measured = measure(name, mode, arguments.rounds, arguments.device)
            print(pd.DataFrame(measured).to_string(index=False), flush=True)
            rows += measured
            if arguments.write:
                arguments.write.parent.mkdir(parents=True, exist_ok=True)
                pd.DataFrame(rows).to_csv(arguments.write, index=False, float_format="%.4g", lineterminator="\n")


def measure(name, mode, rounds, device):
    """Rows of one network and one way to train it."""
    names = [OURS, "plain loop", "tensor loop", "bfloat16", *(["ADMM"] if mode != "standard" else [])]
    rows = contest(build, {contestant: (name, mode, contestant, device) for contestant in names}, rounds, device)
    return [{"model": name, "training": mode, **row} for row in rows]


def build(name, mode, contestant, device):
    """(facts, function to time) of one contestant, in its own process; ours is set up as a job is."""
    if contestant not in PLAIN:
        keep_memory()
        if device != "cpu":
            repeat_on_gpus()
    epoch = prepared(name, mode, contestant, device)
    epoch(warm_up=True)
    return {"images": IMAGES[mode]}, epoch


def prepared(name, mode, contestant, device):
    """The contestant's function that trains for an epoch, or for two batches to warm up."""
    channels, size, _ = NETWORKS[name]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES[mode], channels, size, size), dtype=np.uint8)
    labels = rng.integers(0, 10, IMAGES[mode])
    match contestant:
        case "plain loop":
            return plain(name, mode, Images(images, labels), device)
        case "tensor loop":
            return plain(name, mode, tensors(images, labels), device)
    return ours(name, mode, images, labels, device, contestant)


def network(name, device):
    channels, size, settings = NETWORKS[name]
    metadata = {"shape": [channels, size, size], "classes": [str(label) for label in range(10)]}
    metadata |= {"mean": [MEAN] * channels, "std": [STD] * channels}
    study = {
        "study": "benchmark",
        "datasets": {"digits": {}},
        "architectures": {name: settings},
        "trainings": {"standard": training("standard"), "pgd-7": training("pgd-7")},
        "compressions": {"admm": {"ratio": 0.9, "start": "base"}},
        "attacks": {"fgsm": {"eps": 0.1}},
        "evaluations": {"all": {}},
    }
    checked = check_config(study)
    model = initial_model(specification(checked["architectures"][name], metadata), 0)
    return place(model, device), checked


def training(mode):
    settings = {"epochs": 1, "batch_size": BATCH, "learning_rate": 0.01, "momentum": 0.9}
    return settings if mode == "standard" else {**settings, "adversary": PGD}


def ours(name, mode, images, labels, device, contestant):
    model, checked = network(name, device)
    precision = "bfloat16" if contestant == "bfloat16" else "float32"
    settings, shape = {**checked["trainings"][mode], "precision": precision}, images.shape[1:]
    # The accuracies before and after the final projection are not what is timed here.
    validation = torch.zeros(1, *shape, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    split = torch.from_numpy(images), torch.from_numpy(labels)

    def epoch(warm_up=False):
        train = tuple(part[: 2 * BATCH] for part in split) if warm_up else split
        solver = None
        if contestant == "ADMM":
            # The whole adversary from the start: an epoch like any other.
            compression = {**checked["compressions"]["admm"], "ratio": 0.5, "eps_levels": [1.0], "first_steps": 1.0}
            solver = Admm(prunable(model, shape), constraint(compression), compression)
        fit(model, train, validation, settings, seed=0, solver=solver)

    return epoch


class Images(torch.utils.data.Dataset):
    """Images as torchvision's data sets keep them: arrays that become PIL images and then normalised tensors."""

    def __init__(self, images, labels):
        from torchvision import transforms

        self.images, self.labels = images.transpose(0, 2, 3, 1).squeeze(), labels
        channels = images.shape[1]
        normalize = transforms.Normalize((MEAN,) * channels, (STD,) * channels)
        self.transform = transforms.Compose([transforms.ToTensor(), normalize])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def tensors(images, labels):
    normalised = (torch.from_numpy(images) / 255 - MEAN) / STD
    return torch.utils.data.TensorDataset(normalised, torch.from_numpy(labels))


def plain(name, mode, dataset, device):
    """The loop of the tutorials, on the bare network."""
    import torchattacks

    model = network(name, "cpu")[0].network.to(device, memory_format=torch.contiguous_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    channels = NETWORKS[name][0]
    attack = torchattacks.PGD(model, eps=PGD["eps"], alpha=PGD["alpha"], steps=PGD["steps"])
    attack.set_normalization_used(mean=[MEAN] * channels, std=[STD] * channels)

    def epoch(warm_up=False):
        model.train()
        chosen = torch.utils.data.Subset(dataset, range(2 * BATCH)) if warm_up else dataset
        for images, labels in torch.utils.data.DataLoader(chosen, batch_size=BATCH, shuffle=True):
            images, labels = images.to(device), labels.to(device)
            if mode != "standard":
                images = attack(images, labels)
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()

    return epoch


if __name__ == "__main__":
    main()
