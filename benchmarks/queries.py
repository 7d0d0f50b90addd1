"""What attacks without gradients find by how many queries: `python benchmarks/queries.py`.

Square asks for logits, the others for labels alone. Each has the same images of the networks of `libraries.py`, a
standard and a robust one, Square and RayS more of them, and runs anew for every number of queries. Robust accuracy is
at EPS; the median norm is of the images that were right, infinite where fewer than half of them were fooled, and of
those that look for the nearest point alone. `square-autoattack` is Square with `reference: true`, `square-rescaled`
with `reference: false`. GeoDA's code names `np.mat`, which NumPy 2 has no more; here it gets `np.asmatrix`, so that it
can be judged, too.

Writes docs/benchmarks/queries.csv, case by case, and draws docs/benchmarks/queries.png. `--attacks`, `--models` and
`--queries` narrow it down and keep the other cases; `--limit 300` ends a run after so many CPU seconds, and its row
says so; `--draw` only draws.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "benchmarks")]

from libraries import ENDED, EPS, NETWORKS, Ended, at_most, digits, trained
from measured import commit, merged

from squeezeproof.attacks.craft import craft
from squeezeproof.entries import registry
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.settings import as_dict
from squeezeproof.figures.style import COLORS, MARKERS, plt, save
from squeezeproof.study.entities import plain

TABLE, FIGURE = ROOT / "docs/benchmarks/queries.csv", ROOT / "docs/benchmarks/queries.png"
LINES = ("-", "--", ":")
QUERIES, NORMS = (100, 300, 1000), ("linf", "l2")
# Square and RayS take a small part of the others' time.
IMAGES, OF_OURS = 25, 100
ATTACKS = {
    "square": ("square", {}),
    "square-autoattack": ("square", {"reference": True}),
    "square-rescaled": ("square", {"reference": False}),
    "rays": ("rays", {}),
    "HopSkipJump": ("foolbox.HopSkipJumpAttack", {}),
    "Boundary": ("foolbox.BoundaryAttack", {}),
    "GeoDA": ("art.GeoDA", {}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--queries", nargs="+", type=int, default=list(QUERIES))
    parser.add_argument("--limit", type=float)
    parser.add_argument("--draw", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    np.mat = getattr(np, "mat", np.asmatrix)
    if not chosen.draw:
        networks = {name: trained(NETWORKS[name]) for name in chosen.models}
        for attack in chosen.attacks:
            for name, model in networks.items():
                rows = measured(name, model, attack, chosen.queries, chosen.limit)
                write(TABLE, rows)
                print(pd.DataFrame(rows).drop(columns="commit").to_string(header=False, index=False), flush=True)
    save(drawn(pd.read_csv(TABLE)), [FIGURE])


def measured(name, model, attack, queries, limit):
    """The rows of one attack on one network, in every norm that it has, with so many queries each."""
    method, own = ATTACKS[attack]
    images, labels = (tensor[: IMAGES if "." in method else OF_OURS] for tensor in digits("test"))
    entry, rows = registry.attacks()[method], []
    for norm in (norm for norm in NORMS if norm in entry.norms):
        eps = None if entry.minimum_norm else EPS[norm]
        for count in queries:
            row = {"model": name, "attack": attack, "norm": norm, "eps": EPS[norm], "queries": count}
            settings = as_dict(with_budget(entry)(method=method, norm=norm, eps=[eps], queries=count, **own))
            start = time.process_time()
            try:
                with at_most(limit):
                    tensors, metadata = craft(
                        model, images, labels, plain({**settings, "eps": eps}), seed=0, batch_size=None
                    )
            except Ended:
                rows.append(row | {"failed": f"{ENDED} {limit:g} CPU seconds", "commit": commit()})
                continue
            row |= {"seconds": round(time.process_time() - start, 2), "images": len(images), "commit": commit()}
            row |= {"failed": metadata["failed"]} if "failed" in metadata else found(tensors, EPS[norm], eps is None)
            rows.append(row | {"asked": round(metadata["forwards_per_example"], 1)})
    return rows


def found(tensors, eps, nearest):
    """Robust accuracy at eps, and the median norm where the attack looks for the nearest point."""
    lengths, fools = tensors["norm"].double(), tensors["predictions"] != tensors["labels"]
    accuracy = 1 - (fools & (lengths <= eps + 1e-6 * max(1, eps))).double().mean().item()
    right = tensors["clean_predictions"] == tensors["labels"]
    median = torch.where(fools, lengths, math.inf)[right].quantile(0.5, interpolation="higher").item()
    return {"accuracy": round(accuracy, 4), "median_norm": round(median, 4) if nearest else None}


def write(path, rows):
    """The table with these rows in the place of those of their networks and attacks."""
    orders = {"model": list(NETWORKS), "attack": list(ATTACKS), "norm": list(NORMS)}
    merged(path, rows, orders).to_csv(path, index=False, lineterminator="\n")


def drawn(table):
    """Robust accuracy against the number of queries, a panel for each network and norm."""
    figure, panels = plt.subplots(len(NORMS), len(NETWORKS), sharex=True, sharey=True, figsize=(7, 5), squeeze=False)
    lines = {}
    for line, norm in zip(panels, NORMS, strict=True):
        for panel, name in zip(line, NETWORKS, strict=True):
            rows = table[(table["model"] == name) & (table["norm"] == norm)].dropna(subset="accuracy")
            for place, attack in enumerate(ATTACKS):
                own = rows[rows["attack"] == attack].sort_values("queries")
                if own.empty:
                    continue
                # Lines that lie on each other show through the gaps and the hollow marks of those above.
                style = {"color": COLORS[place], "marker": MARKERS[place], "linestyle": LINES[place % len(LINES)]}
                marks = {"markersize": 5 + place % 3, "markerfacecolor": "none"}
                lines[attack] = panel.plot(own["queries"], 100 * own["accuracy"], **style, **marks)[0]
            panel.set(title=f"{name}, {norm} {EPS[norm]:g}", xscale="log", ylim=(0, 103))
        line[0].set_ylabel("robust accuracy [%]")
    for panel in panels[-1]:
        counts = sorted(set(table["queries"]))
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.set_xlabel("queries per image")
    named = [attack for attack in ATTACKS if attack in lines]
    figure.legend([lines[attack] for attack in named], named, loc="outside lower center", ncols=3)
    figure.set_layout_engine("constrained", wspace=0.06)
    return figure


if __name__ == "__main__":
    main()
