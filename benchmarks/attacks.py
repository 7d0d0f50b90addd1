"""Crafting time of every attack against the libraries that have it: `python benchmarks/attacks.py`.

On each model all contestants get the same images, labels, settings, frozen parameters and one thread. Rounds are
interleaved, every other one in the opposite order; the table shows medians of CPU seconds (wall seconds on a GPU),
each library's time as a multiple of ours, passes per image, robust accuracy and the median norm of the perturbations.
`bare passes` are the forward and backward passes that our attack makes, without the attack.
The models are trained for a minute on scikit-learn's digits; the ResNets leave out what takes other libraries hours.
Options narrow it down: `--attacks pgd deepfool --models cnn3 --rounds 3`; `--write docs/benchmarks/attacks.csv` keeps
the table, in which what was not measured now stays as it was.
"""

import argparse
import statistics
import sys
import time
import warnings
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "benchmarks")]

from peers import PEERS

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import OF_THE_MODEL, craft
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.attacks.source import Counted, frozen, prepared
from squeezeproof.datasets.digits import load_digits
from squeezeproof.entries import registry
from squeezeproof.entries.attack import with_budget
from squeezeproof.models.networks import cnn3
from squeezeproof.models.vision import resnet18
from squeezeproof.runtime import place

LINF = {"cnn3": 0.1, "resnet18-16": 4 / 255, "resnet18": 4 / 255}
SHORT = {"cnn3": 40, "resnet18-16": 20, "resnet18": 10}
CASES = {
    "fgsm": ("fgsm", {}),
    "bim": ("bim", {"keep": "last"}),
    "pgd": ("pgd", {"keep": "last"}),
    "pgd-whitebox": ("pgd", {"stop_on_success": True}),
    "mifgsm": ("mifgsm", {"keep": "last"}),
    "apgd-ce": ("apgd", {}),
    "apgd-ce-whitebox": ("apgd", {"stop_on_success": True}),
    "apgd-dlr": ("apgd", {"loss": "dlr"}),
    "apgd-t-whitebox": ("apgd_t", {"targets": 3, "stop_on_success": True}),
    "fab": ("fab", {}),
    "fab-t-whitebox": ("fab_t", {"targets": 3, "stop_on_success": True}),
    "square-whitebox": ("square", {"queries": 300, "stop_on_success": True}),
    "square": ("square", {"queries": 300}),
    "autoattack-whitebox": ("autoattack", {"stop_on_success": True}),
    "deepfool": ("deepfool", {}),
    "cw": ("cw", {"searches": 10, "steps": 10, "initial_c": 0.01}),
    "uap": ("uap", {"eps": 0.1, "passes": 2, "fooling_rate": 0.95}),
}
OURS, BARE = "SqueezeProof", "bare passes"
# Attacks in which every image makes the same passes.
BOUNDED = ("fgsm", "bim", "pgd", "mifgsm", "apgd-ce", "apgd-dlr")
# What the larger models are spared by default: hours of other libraries' time.
LONG = {
    "cnn3": (),
    "resnet18-16": ("cw", "uap"),
    "resnet18": (
        *("apgd-t-whitebox", "fab", "fab-t-whitebox", "square-whitebox", "square", "autoattack-whitebox"),
        *("deepfool", "cw", "uap"),
    ),
}
COUNT = {"cnn3": 128, "resnet18-16": 64, "resnet18": 32}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", nargs="+", choices=CASES)
    parser.add_argument("--models", nargs="+", choices=COUNT, default=list(COUNT))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = []
    for name in arguments.models:
        model, inputs, labels = contest(name, arguments.device)
        print(f"{name}: clean accuracy {accuracy(model, inputs, labels):.3f} on {len(labels)} images")
        for case in arguments.attacks or [case for case in CASES if case not in LONG[name]]:
            rows += measure(case, name, model, inputs, labels, arguments.rounds)
            shown = [row for row in rows if (row["model"], row["attack"]) == (name, case)]
            print(pd.DataFrame(shown).to_string(index=False), flush=True)
            if arguments.write:
                write(arguments.write, rows)


def write(path, rows):
    """Put the rows of the measured models and attacks into the table at `path`, in the place of those it has."""
    table, measured = pd.DataFrame(rows), {(row["model"], row["attack"]) for row in rows}
    if path.exists():
        known = pd.read_csv(path)
        kept = [case not in measured for case in zip(known["model"], known["attack"], strict=True)]
        table = pd.concat([known[kept], table])
    order = {"model": list(COUNT).index, "attack": list(CASES).index}
    table = table.sort_values(list(order), key=lambda column: column.map(order[column.name]), kind="stable")
    table["images_per_second"] = table["model"].map(COUNT) / table["seconds"]
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g", lineterminator="\n")


def contest(name, device):
    """(model in eval mode with frozen parameters, inputs, labels) of a benchmark."""
    size, channels = (28, 1) if name == "cnn3" else (32, 3)
    training, test, _ = load_digits({"size": size})
    images, targets = map(torch.from_numpy, training)
    images = images.repeat(1, channels, 1, 1) / 255
    torch.manual_seed(0)
    shape = {"in_channels": channels, "num_classes": 10, "image_size": size}
    width = {"resnet18-16": 16, "resnet18": 64}
    model = cnn3(**shape) if name == "cnn3" else resnet18(**shape, width=width[name])
    train(model, images, targets, epochs=3 if name == "resnet18" else 4)
    test_images, test_labels = map(torch.from_numpy, test)
    inputs = test_images[: COUNT[name]].repeat(1, channels, 1, 1).to(device) / 255
    model = model.to(device).eval().requires_grad_(False)
    return model, inputs, test_labels[: COUNT[name]].to(device)


def train(model, images, labels, epochs):
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def settings_of(case, name):
    method, changes = CASES[case]
    defaults = with_budget(registry.attacks()[method]).defaults()
    settings = {key: value for key, value in defaults.items() if key not in ("stored", *OF_THE_MODEL)}
    unbounded = settings.get("eps") == [None] and method not in ("fab", "fab_t")
    settings["eps"] = None if unbounded else LINF[name]
    if "steps" in settings and method not in ("deepfool", "cw"):
        settings["steps"] = SHORT[name]
    settings |= changes
    if "alpha" in settings:
        settings["alpha"] = 2.5 * settings["eps"] / settings["steps"]
    return method, settings


class Ours:
    """Our attack as crafting runs it: on the model prepared once per set, channels last."""

    def __init__(self, method, prepared):
        self.method, self.prepared = method, prepared

    def __call__(self, _, inputs, labels, settings):
        indices = torch.arange(len(labels), device=labels.device)
        options, self.counted = dict(settings), Counted(self.prepared, inputs.device)
        if self.method in FITS:
            images = (inputs * 255).round().to(torch.uint8).cpu()
            training = (images, labels.cpu())
            options["images"] = len(images)
            options, _ = FITS[self.method](self.counted, images, labels.cpu(), training, options, None, 0)
        return ATTACKS[self.method](self.counted, inputs, labels, seed=0, indices=indices, **options)


class OurSuite:
    """Our attacks in sequence as crafting runs them, with the model's preparation and the checks of every point."""

    def __init__(self, method, model):
        self.method, self.model = method, model

    def __call__(self, _, inputs, labels, settings):
        images = (inputs * 255).round().to(torch.uint8).cpu()
        settings = {"method": self.method, "stored": "float32", **settings}
        sets, metadata = craft(self.model, images, labels.cpu(), settings, seed=0, batch_size=len(labels))
        made = {key: len(labels) * metadata[f"{key}_per_example"] for key in ("forwards", "backwards")}
        self.counted = SimpleNamespace(**made)
        return sets["adversarial"].to(inputs.device)


class BarePasses:
    """The forward and backward passes that our attack made on its prepared model, and nothing else: its lower bound."""

    def __init__(self, ours):
        self.ours = ours

    def __call__(self, _, inputs, labels, settings):
        counted, self.counted = self.ours.counted, Counted(self.ours.prepared, inputs.device)
        backwards = round(counted.backwards / len(labels))
        for _ in range(backwards):
            points = inputs.detach().requires_grad_(True)
            values = self.counted(points).sum()
            torch.autograd.grad(values, points)
        with torch.no_grad():
            for _ in range(round(counted.forwards / len(labels)) - backwards):
                self.counted(inputs)
        return inputs


class Passes(nn.Module):
    """Counts the images that pass forward and backward; used in a round of its own, outside the timing."""

    def __init__(self, model):
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, points):
        self.forwards += len(points)
        logits = self.model(points)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient):
        self.backwards += len(gradient)


def measure(case, name, model, inputs, labels, rounds):
    """Rows of one attack on one model: ours first, then every library that has it."""
    method, settings = settings_of(case, name)
    with prepared(place(deepcopy(model), inputs.device), inputs[:8]) as passes:
        ours = Ours(method, passes) if method in ATTACKS else OurSuite(method, model)
        contestants = {OURS: ours, **PEERS.get(method, {})}
        if case in BOUNDED:
            contestants[BARE] = BarePasses(ours)
        return _measure(case, name, contestants, model, inputs, labels, settings, rounds)


def _measure(case, name, contestants, model, inputs, labels, settings, rounds):
    times = {library: [] for library in contestants}
    rows = []
    for library, attack in contestants.items():
        passes = Passes(model)
        with frozen(model):
            points = attack(passes.eval(), inputs, labels, settings).detach()
        if library in (OURS, BARE):
            passes = attack.counted
        delta = norms(points - inputs, settings["norm"])
        rows.append(
            {
                "model": name,
                "attack": case,
                "method": CASES[case][0],
                "library": library,
                "seconds": None,
                "ratio": None,
                "forwards": passes.forwards / len(labels),
                "backwards": passes.backwards / len(labels),
                "robust_accuracy": accuracy(model, points, labels),
                "median_norm": delta[accuracy_mask(model, inputs, labels)].median().item(),
            }
        )
    for index in range(rounds):
        order = list(contestants) if index % 2 == 0 else list(contestants)[::-1]
        for library in order:
            times[library].append(seconds(contestants[library], model, inputs, labels, settings))
    ours = statistics.median(times[OURS])
    for row in rows:
        row["seconds"] = statistics.median(times[row["library"]])
        row["ratio"] = row["seconds"] / ours
    return rows


def seconds(attack, model, inputs, labels, settings):
    with frozen(model):
        if inputs.is_cuda:
            torch.cuda.synchronize()
            start = time.perf_counter()
            attack(model, inputs, labels, settings)
            torch.cuda.synchronize()
            return time.perf_counter() - start
        start = time.process_time()
        attack(model, inputs, labels, settings)
        return time.process_time() - start


@torch.no_grad()
def accuracy_mask(model, inputs, labels):
    return model(inputs).argmax(1) == labels


def accuracy(model, inputs, labels):
    return accuracy_mask(model, inputs, labels).double().mean().item()


if __name__ == "__main__":
    main()
