"""Crafting time of every attack against the libraries that have it: `python benchmarks/attacks.py`.

On each model all contestants get the same images, labels, settings, frozen parameters and one thread, and a process of
their own (`rounds.py`); ours is set up as a job is. Rounds are interleaved, every other one in the opposite order; the
table shows medians of CPU seconds (wall seconds on a GPU), each library's time as a multiple of ours with the least and
the largest of the rounds, passes per image, robust accuracy and the median norm of the perturbations.
`bare passes` are the forward and backward passes that our attack makes, without the attack.
The models are trained for a minute on scikit-learn's digits; the ResNets leave out what takes other libraries hours.
Options narrow it down: `--attacks pgd deepfool --models cnn3 --rounds 3`; `--write docs/benchmarks/attacks.csv` keeps
the table case by case, in which what was not measured now stays as it was, and `--rest` leaves out what that table has
from this commit and as many rounds, so that a run that was ended goes on.
"""

import argparse
import contextlib
import functools
import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "benchmarks")]

from measured import commit, finished, merged
from peers import LIBRARIES, PEERS
from rounds import contest
from torchvision.models import VisionTransformer

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import OF_THE_MODEL, craft
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.attacks.source import Counted, frozen, prepared
from squeezeproof.datasets.digits import load_digits
from squeezeproof.entries import registry
from squeezeproof.entries.attack import UNTOLD
from squeezeproof.entries.budget import with_budget
from squeezeproof.models.networks import cnn3
from squeezeproof.models.vision import mobilenet_v2, resnet18
from squeezeproof.runtime import keep_memory, place, repeat_on_gpus


def small_vit(*, in_channels, num_classes, image_size):
    """torchvision's vision transformer with 8 x 8 patches, four layers and four heads of 16."""
    return VisionTransformer(
        image_size=image_size,
        patch_size=4,
        num_layers=4,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
        num_classes=num_classes,
    )


# Network -> (channels, image size, function that builds it), budget, steps, epochs of training, images attacked.
NETWORKS = {
    "cnn3": (1, 28, cnn3),
    "resnet18-16": (3, 32, functools.partial(resnet18, width=16)),
    "resnet18": (3, 32, resnet18),
    "mobilenet_v2-16": (3, 32, functools.partial(mobilenet_v2, width=16)),
    "vit": (3, 32, small_vit),
}
LINF = dict.fromkeys(NETWORKS, 4 / 255) | {"cnn3": 0.1}
SHORT = dict.fromkeys(NETWORKS, 20) | {"cnn3": 40, "resnet18": 10}
EPOCHS = {"resnet18": 3, "vit": 12}
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
    "square-whitebox": ("square", {"queries": 300, "reference": True, "stop_on_success": True}),
    "square": ("square", {"queries": 300, "reference": True}),
    "autoattack-whitebox": ("autoattack", {"stop_on_success": True}),
    "deepfool": ("deepfool", {}),
    "cw": ("cw", {"searches": 10, "steps": 10, "initial_c": 0.01}),
    "uap": ("uap", {"eps": 0.1, "passes": 2, "fooling_rate": 0.95}),
}
OURS, BARE = "SqueezeProof", "bare passes"
# Attacks in which every image makes the same passes.
BOUNDED = ("fgsm", "bim", "pgd", "mifgsm", "apgd-ce", "apgd-dlr", "square")
# What the larger models are spared by default: hours of other libraries' time.
LONG = {
    "cnn3": (),
    "resnet18-16": ("cw", "uap"),
    "mobilenet_v2-16": ("uap", "autoattack-whitebox"),
    "vit": ("cw", "uap", "autoattack-whitebox"),
    "resnet18": (
        *("apgd-t-whitebox", "fab", "fab-t-whitebox", "square-whitebox", "square", "autoattack-whitebox"),
        *("deepfool", "cw", "uap"),
    ),
}
COUNT = dict.fromkeys(NETWORKS, 64) | {"cnn3": 128, "resnet18": 32}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", nargs="+", choices=CASES)
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--rest", action="store_true")
    arguments = parser.parse_args()
    if missing := LIBRARIES - {library for peers in PEERS.values() for library in peers}:
        print(f"not installed, and so not measured: {', '.join(sorted(missing))}; make benchmark installs all")
    run = {"commit": commit(), "rounds": arguments.rounds}
    done = finished(arguments.write, run) if arguments.rest and arguments.write else set()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            cases = arguments.attacks or [case for case in CASES if case not in LONG[name]]
            cases = [case for case in cases if (name, case) not in done]
            if not cases:
                continue
            saved = Path(folder) / name
            trained(name, saved)
            print(f"{name}: clean accuracy {accuracy(*loaded(name, saved, 'cpu')):.3f} on {COUNT[name]} images")
            for case in cases:
                measured = measure(case, name, saved, arguments.rounds, arguments.device)
                measured = [row | run for row in measured]
                print(pd.DataFrame(measured).to_string(index=False), flush=True)
                rows += measured
                if arguments.write:
                    write(arguments.write, rows)


def write(path, rows):
    """Put the rows of the measured models and attacks into the table at `path`, in the place of those it has."""
    table = merged(path, rows, {"model": list(NETWORKS), "attack": list(CASES)})
    table["images_per_second"] = table["model"].map(COUNT) / table["seconds"]
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g", lineterminator="\n")


def network(name):
    channels, size, build_it = NETWORKS[name]
    torch.manual_seed(0)
    return build_it(in_channels=channels, num_classes=10, image_size=size)


def digits(name):
    """The training and the test split as pixels of [0, 1]: (images, labels) of each."""
    channels, size, _ = NETWORKS[name]
    return [
        (torch.from_numpy(images).repeat(1, channels, 1, 1) / 255, torch.from_numpy(labels))
        for images, labels in load_digits({"size": size})[:2]
    ]


def trained(name, path, device="cpu"):
    """Train a network and save its weights at `path`."""
    torch.set_num_threads(1)
    images, labels = (part.to(device) for part in digits(name)[0])
    model = network(name).to(device)
    train(model, images, labels, epochs=EPOCHS.get(name, 4))
    torch.save(model.cpu().state_dict(), path)


def loaded(name, saved, device, count=None):
    """(model in eval mode with frozen parameters, inputs, labels) of a benchmark, so many images or COUNT's.

    More images than there are come again: what a large batch costs hangs on no picture.
    """
    model = network(name)
    model.load_state_dict(torch.load(saved, weights_only=True))
    images, labels = digits(name)[1]
    chosen = torch.arange(count or COUNT[name]) % len(labels)
    images, labels = images[chosen].to(device), labels[chosen].to(device)
    return model.to(device).eval().requires_grad_(False), images, labels


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
    settings = {key: value for key, value in defaults.items() if key not in (*UNTOLD, *OF_THE_MODEL)}
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


def measure(case, name, saved, rounds, device):
    """Rows of one attack on one model: ours first, then every library that has it."""
    method, _ = settings_of(case, name)
    # In every library an image makes no more queries once it fools: those are the contestants of square-whitebox.
    peers = {} if case == "square" else PEERS.get(method, {})
    contestants = [OURS, *peers, *([BARE] if case in BOUNDED else [])]
    rows = contest(build, {library: (library, case, name, saved, device) for library in contestants}, rounds, device)
    identity = {"model": name, "attack": case, "method": method}
    return [{**identity, "library": row.pop("contestant"), **row} for row in rows]


def build(library, case, name, saved, device, change=None, count=None, tf32=False):
    """(facts, function to time) of one contestant, in its own process; ours is set up as a job is.

    `count`: images, COUNT's by default. `change`: a function that puts another model in the place of the one that ours
    passes through: (model, inputs) -> model. `tf32`: as in `compute`.
    """
    if library in (OURS, BARE):
        keep_memory()
        if device != "cpu":
            repeat_on_gpus(tf32)
    model, inputs, labels = loaded(name, saved, device, count)
    method, settings = settings_of(case, name)
    attack = PEERS.get(method, {}).get(library)
    context = contextlib.ExitStack()
    if library in (OURS, BARE):
        attack = OurSuite(method, model)
        if method in ATTACKS:
            passes = context.enter_context(prepared(place(deepcopy(model), inputs.device), inputs[:8]))
            attack = Ours(method, change(passes, inputs) if change else passes)
    if library == BARE:
        attack(model, inputs, labels, settings)
        attack = BarePasses(attack)

    def run(through=model):
        with frozen(through):
            return attack(through, inputs, labels, settings).detach()

    # The prepared model ends with its context, which ends with its last reference.
    run.context = context
    watched = Passes(model).eval()
    points = run(watched)
    counted = attack.counted if library in (OURS, BARE) else watched
    facts = {
        "forwards": counted.forwards / len(labels),
        "backwards": counted.backwards / len(labels),
        "robust_accuracy": accuracy(model, points, labels),
        "median_norm": norms(points - inputs, settings["norm"])[accuracy_mask(model, inputs, labels)].median().item(),
    }
    return facts, run


@torch.no_grad()
def accuracy_mask(model, inputs, labels):
    return model(inputs).argmax(1) == labels


def accuracy(model, inputs, labels):
    return accuracy_mask(model, inputs, labels).double().mean().item()


if __name__ == "__main__":
    main()
