"""Copies what the README and docs/ show out of finished studies: `write_docs.py`.

docs/demo holds the default study's matrix; docs/wang2018 the reproduced table, its figure and a page made from it;
docs/attacks the tables of studies/attacks.yaml and a page made from them.
"""

import math
import shutil
import sys
from pathlib import Path

import pandas as pd

from squeezeproof.report.attack_page import attack_page

ROOT = Path(__file__).resolve().parents[1]
SHOWN = {
    "demo": ["figures/digits/heatmap.pgd-eps0.1.png", "figures/digits/accuracy_against_ratio.cnn8.png"],
    "wang2018": [
        "tables/published.csv",
        "tables/over_seeds.csv",
        "tables/compression.csv",
        "figures/published.svg",
        "figures/published.png",
        "figures/mnist/heatmap.pgd-eps0.3.png",
    ],
    "attacks": [f"tables/{name}.csv" for name in ("clean_accuracy", "robust_accuracy", "crafting", "stages", "audit")],
}

RECIPE = [
    "- The paper gives RMSprop and its rate, not its smoothing constant (ours 0.99, PyTorch's; other frameworks 0.9), "
    "the batch size (ours 128) or the initial weights (ours PyTorch's). The ranking across layers compares mean "
    "weights of different layers, so it depends on how each layer was initialised and how far it was trained.",
    "- The ratios of Table 1 are the largest at which the authors' models kept their clean accuracy; ours are taken "
    "over, not searched.",
    "- Our PGD returns the strongest iterate of the run, not the last one.",
]


def copy(study):
    """Copy the files of one study into docs/{study}; those of a study that was not run stay as they are."""
    source, target = ROOT / "results" / study, ROOT / "docs" / study
    if not source.is_dir():
        print(f"docs/{study}: left as it is, {source.relative_to(ROOT)} does not exist; run the study first")
        return False
    target.mkdir(parents=True, exist_ok=True)
    for name in SHOWN[study]:
        if not (source / name).is_file():
            sys.exit(f"{source / name}: missing; run the study to its end first")
        shutil.copyfile(source / name, target / Path(name).name)
    return True


def wang_page(folder):
    """The page of the reproduction; every number and sentence is computed from published.csv."""
    table = pd.read_csv(folder / "published.csv")
    ran = table[table["mean"].notna()]
    inside = int(ran["inside"].astype(str).eq("True").sum())
    lines = [
        "# Wang et al. (2018), Table 1, beside our runs",
        "",
        "CNN-3 on MNIST with standard training; accuracy in %. Every model is attacked itself (white-box). "
        f"Ours: mean over {int(ran['runs'].max())} seeds with the 95 % interval of Student's t. Written by `make docs` "
        "from `results/wang2018`, which `snakemake --cores 8 --configfile studies/wang2018.yaml` makes.",
        "",
        "![Published accuracies and ours, with intervals](published.svg)",
        "",
        "| model | attack | eps | published | ours | 95 % interval | difference | published inside |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table.itertuples():
        model = "base" if row.compression == "none" else f"{_name(row.compression)} {100 * row.ratio:g} %"
        attack = "clean images" if row.attack == "none" else row.attack
        eps = "" if pd.isna(row.eps) else f"{row.eps:g}"
        if pd.isna(row.mean):
            ours = "not run | | | |"
        else:
            within = "yes" if str(row.inside) == "True" else "no"
            ours = f"{row.mean:.1f} | {row.low:.1f} to {row.high:.1f} | {row.difference:+.1f} | {within} |"
        lines.append(f"| {model} | {attack} | {eps} | {row.published:.1f} | {ours}")
    filters = pd.read_csv(folder / "compression.csv")
    names = {"weight_magnitude": "weight", "filter_magnitude": "filter"}
    lines += ["", "## What differs", "", *differences(ran, inside, len(table) - len(ran), filters, names)]
    lines += ["", "## Where our recipe is not known to be theirs", "", *RECIPE]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def differences(ran, inside, missing, filters, names):
    """Sentences that follow from the compared rows and from the filters that every compressed model kept."""
    clean = ran[ran["attack"] == "none"]
    attacked = ran[ran["attack"] != "none"]
    worst = attacked.loc[attacked["difference"].abs().idxmax()]
    lower = int((attacked["difference"] < 0).sum())
    yield f"- {inside} of the {len(ran)} published values lie inside our interval; {missing} rows were not run."
    furthest = clean.loc[clean["difference"].abs().idxmax()]
    yield (
        f"- Clean accuracy differs most for {_name(furthest['compression'])}, by {furthest['difference']:+.1f} points; "
        f"elsewhere by at most {clean['difference'].abs().drop(furthest.name).max():.1f}."
    )
    dense = filters.loc[filters["compression"].eq("none"), "filters"].iloc[0]
    for row in clean[clean["max"] - clean["min"] > 5].itertuples():
        sizes = filters[filters["compression"].eq(names.get(row.compression, row.compression))]
        kept = ", ".join(f"{size.filters} (seed {size.seed})" for size in sizes.itertuples())
        yield (
            f"- {_name(row.compression)} {100 * row.ratio:g} %: clean accuracy from {row.min:.1f} to {row.max:.1f} "
            f"over seeds. Filters that pruning kept in the three convolutions: {kept}; {dense} before. The ranking "
            "across layers all but empties the layer whose filters have the smallest mean weight, and a model whose "
            "last convolution keeps one filter cannot tell ten classes apart."
        )
    yield (
        f"- Under attack ours is lower in {lower} of {len(attacked)} cells; the largest difference is "
        f"{worst['difference']:+.1f} points ({_name(worst['compression'])}, {worst['attack']} at {worst['eps']:g})."
    )
    for (attack, eps), rows in attacked.groupby(["attack", "eps"], sort=False):
        base = rows[rows["compression"] == "none"].iloc[0]
        for row in rows[rows["compression"] != "none"].itertuples():
            ours, theirs = row.mean - base["mean"], row.published - base["published"]
            noise = math.hypot((row.high - row.low) / 2, (base["high"] - base["low"]) / 2)
            agree = "the same direction" if ours * theirs > 0 else "the opposite direction"
            verdict = "no difference shown by our seeds" if abs(ours) <= noise else agree
            yield (
                f"- {attack} {eps:g}, {_name(row.compression)} {100 * row.ratio:g} % against base: "
                f"{ours:+.1f} points here, {theirs:+.1f} published ({verdict})."
            )


def _name(compression):
    return "base" if compression == "none" else compression.replace("_", " ")


if __name__ == "__main__":
    copy("demo")
    if copy("wang2018"):
        wang_page(ROOT / "docs" / "wang2018")
    if copy("attacks"):
        attack_page(ROOT / "docs" / "attacks")
