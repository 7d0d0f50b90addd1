"""What a GPU makes of attacks and trainings, in one table: `python benchmarks/gpu.py --write docs/benchmarks/gpu.csv`.

It was never run: no GPU was at hand. Every attack of `attacks.py` that makes the same passes for each image runs on
every network there, beside the same libraries, and once more in our variants: with TF32, in bfloat16, with CUDA graphs
of the forward and backward pass, and with graphs in bfloat16. `robust_accuracy` stands beside that of our float32 run
(`change`, in points): a variant that loses robust accuracy finds fewer adversarial examples. Epochs are those of
`training.py`. Wall seconds after the device has done its work; each contestant has a process of its own.
`--device cpu` tries the script itself; TF32 and graphs are left out there.
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
from peers import PEERS
from rounds import contest

# Our variants -> whether they round to TF32, pass in bfloat16, replay CUDA graphs.
VARIANTS = {
    "TF32": (True, False, False),
    "bfloat16": (False, True, False),
    "CUDA graphs": (False, False, True),
    "CUDA graphs, bfloat16": (False, True, True),
}
COLUMNS = [
    "kind",
    "model",
    "case",
    "contestant",
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
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py: torch finds no CUDA device; --device cpu tries the script without one")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            saved = Path(folder) / name
            attacks.trained(name, saved)
            for case in arguments.attacks:
                rows += of_attack(case, name, saved, arguments.rounds, arguments.device)
    for name in arguments.trainings:
        for mode in training.IMAGES:
            measured = training.measure(name, mode, arguments.rounds, arguments.device)
            rows += [{"kind": "training", "case": mode, **row} for row in measured]
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    print(table.to_string(index=False))
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.write, index=False, float_format="%.4g", lineterminator="\n")


def of_attack(case, name, saved, rounds, device):
    """Rows of one attack on one network: ours in float32, our variants, the libraries."""
    method, _ = attacks.settings_of(case, name)
    variants = [variant for variant, (tf32, _, graphs) in VARIANTS.items() if device != "cpu" or not (tf32 or graphs)]
    contestants = [attacks.OURS, *variants, *PEERS.get(method, {})]
    rows = contest(build, {each: (each, case, name, saved, device) for each in contestants}, rounds, device)
    for row in rows:
        row["change"] = 100 * (row["robust_accuracy"] - rows[0]["robust_accuracy"])
    return [{"kind": "attack", "model": name, "case": case, **row} for row in rows]


def build(contestant, case, name, saved, device):
    """(facts, function to time) of one contestant, in its own process."""
    tf32, bfloat16, graphs = VARIANTS.get(contestant, (False, False, False))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32

    def change(model, inputs):
        model = Bfloat16(model) if bfloat16 else model
        return Graphed(model, inputs) if graphs else model

    library = attacks.OURS if contestant in VARIANTS else contestant
    return attacks.build(library, case, name, saved, device, change)


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
