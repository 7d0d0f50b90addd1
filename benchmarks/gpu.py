"""What a GPU makes of attacks and trainings, in one table: `python benchmarks/gpu.py --write docs/benchmarks/gpu.csv`.

Every attack of `attacks.py` that makes the same passes for each image runs on every network there, on one batch of
`--images`, beside the same libraries, and once more in our variants: with TF32, in bfloat16, with CUDA graphs of the
forward and backward pass, and with graphs in bfloat16. `robust_accuracy` stands beside that of our float32 run
(`change`, in points): a variant that loses robust accuracy finds fewer adversarial examples. Epochs are those of
`training.py`. Wall seconds after the device has done its work; each contestant has a process of its own.
The table is written after every attack and training, so that what is cut short is kept. `--device cpu` tries the
script itself; TF32 and graphs are left out there.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "benchmarks")]

import attacks
import training
from measured import commit
from peers import PEERS
from rounds import contest

# Our variants -> whether they use tensor cores, pass in bfloat16, replay CUDA graphs.
VARIANTS = {
    "TF32": (True, False, False),
    "bfloat16": (True, True, False),
    "CUDA graphs": (False, False, True),
    "CUDA graphs, bfloat16": (True, True, True),
}
COLUMNS = [
    "commit",
    "device",
    "torch",
    "kind",
    "model",
    "case",
    "contestant",
    "images",
    "seconds",
    "ratio",
    "ratio_low",
    "ratio_high",
    "robust_accuracy",
    "change",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=attacks.NETWORKS, default=list(attacks.NETWORKS))
    parser.add_argument("--attacks", nargs="+", choices=attacks.BOUNDED, default=list(attacks.BOUNDED))
    parser.add_argument("--trainings", nargs="*", choices=training.NETWORKS, default=list(training.NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py: torch finds no CUDA device; --device cpu tries the script without one")
    table = Table(arguments.device, arguments.write)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            saved = Path(folder) / name
            attacks.trained(name, saved, arguments.device)
            for case in arguments.attacks:
                table.add(of_attack(case, name, saved, arguments.rounds, arguments.device, arguments.images))
    for name in arguments.trainings:
        for mode in training.IMAGES:
            measured = training.measure(name, mode, arguments.rounds, arguments.device)
            table.add([{"kind": "training", "case": mode, **row} for row in measured])


class Table:
    """The rows so far, printed as they come and written to a file, if there is one."""

    def __init__(self, device, path):
        name = "cpu" if device == "cpu" else torch.cuda.get_device_name(device)
        self.run = {"commit": commit(), "device": name, "torch": torch.__version__}
        self.path, self.rows = path, []

    def add(self, rows):
        self.rows += [self.run | row for row in rows]
        print(pd.DataFrame(rows).reindex(columns=COLUMNS[3:]).to_string(index=False), flush=True)
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(self.rows).reindex(columns=COLUMNS)
            table.to_csv(self.path, index=False, float_format="%.4g", lineterminator="\n")


def of_attack(case, name, saved, rounds, device, images):
    """Rows of one attack on one network: ours in float32, our variants, the libraries."""
    method, _ = attacks.settings_of(case, name)
    variants = ["bfloat16"] if device == "cpu" else list(VARIANTS)
    contestants = [attacks.OURS, *variants, *PEERS.get(method, {})]
    arguments = {each: (each, case, name, saved, device, images) for each in contestants}
    rows = contest(build, arguments, rounds, device, without_failed=True)
    for row in rows:
        row["change"] = 100 * (row["robust_accuracy"] - rows[0]["robust_accuracy"])
    return [{"kind": "attack", "model": name, "case": case, "images": images, **row} for row in rows]


def build(contestant, case, name, saved, device, images):
    """(facts, function to time) of one contestant, in its own process."""
    tf32, bfloat16, graphs = VARIANTS.get(contestant, (False, False, False))

    def change(model, inputs):
        model = Bfloat16(model) if bfloat16 else model
        return Graphed(model, inputs) if graphs else model

    library = attacks.OURS if contestant in VARIANTS else contestant
    return attacks.build(library, case, name, saved, device, change, images, tf32)


class Bfloat16(nn.Module):
    """Passes in bfloat16 wherever autocast allows; logits in float32."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, points):
        with torch.autocast(points.device.type, torch.bfloat16):
            return self.model(points).float()


class Graphed(nn.Module):
    """Replays a CUDA graph for batches of the shape that was recorded; any other batch passes through the model."""

    def __init__(self, model, inputs):
        super().__init__()
        self.model, self.shape = model, inputs.shape
        sample = torch.zeros_like(inputs, requires_grad=True)
        self.graphed = torch.cuda.make_graphed_callables(model, (sample,))

    def forward(self, points):
        replay = points.shape == self.shape and points.requires_grad
        return self.graphed(points) if replay else self.model(points)


if __name__ == "__main__":
    main()
