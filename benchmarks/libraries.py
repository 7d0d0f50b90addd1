"""What every attack of other libraries does to a standard and to a robust network: `python benchmarks/libraries.py`.

Every attack, in every norm that it has, has its library's own settings, but at most STEPS steps and SEARCHES of a
search over them; an attack without gradients has fewer images, and is ended after QUERIES that the network classified
for each. Ours of the same name stand beside them, at settings that cost about as much. The networks are small ones for
scikit-learn's digits, one trained with PGD examples.

Writes docs/benchmarks/libraries.csv, attack by attack, and docs/library_attacks.md. `--attacks foolbox.LinfPGD pgd`
measures these alone, and keeps the other rows; `--limit 20` ends an attack after so many CPU seconds on a network, its
row says so, and no other network is tried; `--rest` measures those that have no row yet; `--page` only writes the page.
"""

import argparse
import re
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts")]

from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.datasets.digits import load_digits
from squeezeproof.entries import registry
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.settings import as_dict
from squeezeproof.errors import InputError
from squeezeproof.models.build import Normalize
from squeezeproof.study.entities import plain

TABLE, PAGE = ROOT / "docs/benchmarks/libraries.csv", ROOT / "docs/library_attacks.md"
IMAGES, SIZE, STEPS, SEARCHES = 100, 16, 50, 3
# Of attacks without gradients, each image of which is attacked alone.
QUERIES, FEWER = 100, 25
EPS = {"linf": 0.1, "l2": 2.0, "l1": 20.0, "l0": 30.0}
# Networks, and the radius of the PGD examples that they are trained on.
NETWORKS = {"standard": 0.0, "robust": 0.1}
ENDED = "ended by this benchmark after"
# Of ours: what costs about as much.
OURS = {
    **{name: {"steps": STEPS} for name in ("pgd", "bim", "mifgsm", "difgsm", "apgd")},
    **{"apgd_t": {"steps": 10}, "fab": {"steps": 50}, "fab_t": {"steps": 5}, "square": {"queries": QUERIES}},
    **{
        "cw": {"searches": SEARCHES, "steps": STEPS, "learning_rate": 0.05, "initial_c": 1},
        "noise": {"samples": QUERIES},
        "fgsm": {},
        "deepfool": {},
    },
}
# Units of an attack's cost that are repetitions of its steps.
SEVERAL = ("binary_search_steps", "restarts", "n_restarts", "nb_restarts", "nb_random_init", "eot_iter")
# What the libraries give required parameters without a default.
REQUIRED = {"foolbox.VirtualAdversarialAttack": {"steps": 20}}
# Names under which a library has an attack of ours, without the norm before and `attack` behind.
SAME = {
    "fgsm": ("fgsm", "fastgradient", "fastgradientmethod", "fgm"),
    "bim": ("bim", "basiciterative", "basiciterativemethod"),
    "pgd": ("pgd", "pgdl2", "pgd_linf", "projectedgradientdescent", "projectedgradientdescentpytorch"),
    "mifgsm": ("mifgsm", "momentumiterativefastgradientmethod", "momentumiterativemethod"),
    "difgsm": ("difgsm",),
    "apgd": ("apgd", "autoprojectedgradientdescent"),
    "apgd_t": ("apgdt", "apgd_targeted"),
    "fab": ("fab",),
    "square": ("square",),
    "cw": ("cw", "carliniwagner", "carlinil2method", "carlini_wagner_l2"),
    "deepfool": ("deepfool", "df"),
}
COLUMNS = [
    *("network", "attack", "norm", "eps", "accuracy", "median_norm", "forwards", "backwards", "seconds"),
    *("clean_returned", "outside", "other_points", "again", "ended", "failed"),
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", nargs="*")
    parser.add_argument("--limit", type=float)
    parser.add_argument("--rest", action="store_true")
    parser.add_argument("--page", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    if not chosen.page:
        images, labels = digits("test")
        networks = {name: trained(eps) for name, eps in NETWORKS.items()}
        known = {(row["attack"], row["norm"]) for row in rows} if chosen.rest else set()
        for attack in chosen.attacks or every():
            for norm in registry.attacks()[attack].norms:
                if (attack, norm) in known:
                    continue
                for name, model in networks.items():
                    row = measured(name, model, images, labels, attack, norm, chosen.limit)
                    key = [row["network"], attack, norm]
                    rows = [other for other in rows if [other["network"], other["attack"], other["norm"]] != key]
                    rows.append(row)
                    write(rows)
                    print(*(row[column] for column in ("network", "attack", "norm", "accuracy", "failed")), flush=True)
                    if str(row["failed"]).startswith(ENDED):
                        # It would take as long on the others.
                        break
    PAGE.write_text(page(pd.read_csv(TABLE)))


def every():
    """The attacks that are measured: ours that a library has too, and all of every library."""
    ours = [name for name in ATTACKS if name in OURS and name not in FITS]
    theirs = [method for library in registry.libraries().values() for method in library.methods()]
    # Of a target that is reached or not there is no robust accuracy.
    return [*ours, *(method for method in theirs if not registry.attacks()[method].targeted_alone)]


def digits(split):
    """uint8 images [N, 3, SIZE, SIZE], which some libraries need of three channels, and labels."""
    training, test, _ = load_digits({"size": SIZE})
    images, labels = map(torch.from_numpy, test if split == "test" else training)
    count = IMAGES if split == "test" else len(labels)
    return images[:count].repeat(1, 3, 1, 1), labels[:count]


def trained(eps):
    """A small network in eval mode, trained on PGD examples in a linf ball of radius eps."""
    images, labels = digits("train")
    torch.manual_seed(0)
    model = nn.Sequential(
        Normalize([0.3] * 3, [0.4] * 3), nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * (SIZE // 4) ** 2, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    options = {"norm": "linf", "loss": "cross_entropy", "steps": 7, "alpha": None, "keep": "last"}
    options |= {"random_start": True, "restarts": 1, "stop_on_success": False, "seed": 0}
    for _ in range(15 if eps else 6):
        for batch in torch.randperm(len(labels)).split(64):
            points = images[batch] / 255
            if eps:
                points = ATTACKS["pgd"](model, points, labels[batch], eps=eps, indices=batch, **options)
            optimizer.zero_grad()
            functional.cross_entropy(model(points), labels[batch]).backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


class Ended(BaseException):
    """An attack took too long. No Exception: libraries that catch those are ended too."""


@contextmanager
def at_most(seconds):
    """Ended is raised after so many CPU seconds of this process; None is no limit."""

    def end(*_):
        raise Ended

    signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def measured(network, model, images, labels, attack, norm, limit):
    """The row of one attack in one norm on one network; `limit` is in CPU seconds, None for none."""
    entry = registry.attacks()[attack]
    if entry.needs != "gradients":
        images, labels = images[:FEWER], labels[:FEWER]
    ball = not (entry.minimum_norm or entry.own_budget)
    own = capped(attack, entry) if "." in attack else OURS[attack]
    eps = EPS[norm]
    settings = as_dict(with_budget(entry)(method=attack, norm=norm, eps=[eps if ball else None], **own))
    settings = plain({**settings, "eps": eps if ball else None})
    row = dict.fromkeys(COLUMNS) | {"network": network, "attack": attack, "norm": norm, "eps": eps}
    start = time.process_time()
    try:
        with at_most(limit):
            tensors, metadata = craft(model, images, labels, settings, seed=0, batch_size=None)
    except InputError as error:
        return row | {"failed": str(error)}
    except Ended:
        return row | {"failed": f"{ENDED} {limit:g} CPU seconds on {len(images)} images"}
    row["seconds"] = round(time.process_time() - start, 2)
    if "failed" in metadata:
        return row | {"failed": metadata["failed"].partition(" failed: ")[2]}
    fools = tensors["predictions"] != labels
    changed = fools & (tensors["clean_predictions"] == labels)
    falls = fools & (tensors["norm"] <= eps + 1e-6 * max(1, eps))
    notes = metadata["stages"][0].get("notes", {})
    return row | {
        "accuracy": round(1 - falls.double().mean().item(), 4),
        "median_norm": round(tensors["norm"][changed].median().item(), 4) if changed.any() else None,
        "forwards": round(metadata["forwards_per_example"], 1),
        "backwards": round(metadata["backwards_per_example"], 1),
        **{"clean_returned": notes.get("clean"), "outside": notes.get("outside"), "again": notes.get("again")},
        **{"other_points": notes.get("other_points"), "ended": notes.get("ended_by_queries", 0)},
    }


def capped(attack, entry):
    """The settings of a library's attack that keep it short."""
    if entry.needs != "gradients":
        return {"queries": QUERIES}
    parameters = entry.row["parameters"]
    most = {unit: SEARCHES if unit in SEVERAL else STEPS for unit in entry.units}
    cut = {unit: min(parameters[unit] or most[unit], most[unit]) for unit in most if unit in parameters}
    return {**cut, **REQUIRED.get(attack, {})}


def write(rows):
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = {name: place for place, name in enumerate(NETWORKS)}
    by = [frame["attack"].str.contains(".", regex=False), frame["attack"], frame["norm"], frame["network"].map(order)]
    place = pd.concat(by, axis=1, keys=range(4)).sort_values(list(range(4)), kind="stable").index
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    whole = dict.fromkeys(("clean_returned", "outside", "again", "other_points", "ended"), "Int64")
    frame.loc[place].astype(whole).to_csv(TABLE, index=False, lineterminator="\n")


ABOUT = f"""# Attacks of other libraries, measured

Written by `python benchmarks/libraries.py` from [benchmarks/libraries.csv](benchmarks/libraries.csv).

The attacks that `method: library.Name` can name were run on {IMAGES} images of scikit-learn's digits, {SIZE} x {SIZE}
pixels in three channels, with their libraries' own settings, but for at most {STEPS} steps and {SEARCHES} searches or
restarts. Attacks that need no gradients were ended after {QUERIES} queries per image and have the first {FEWER} images
alone. Ours stand first, at settings that cost about as much. One network was trained plainly, one with PGD examples of
radius {EPS["linf"]}.

- *accuracy*: the share that stands at {", ".join(f"{eps:g} in {norm}" for norm, eps in EPS.items())}; standard /
  robust network. It is that of the strongest points that the attack looked at, so that it says what the attack finds,
  not what the library returns.
- *median norm*: of the examples that were right and fooled, on the standard network.
- *passes*: forward / backward per example on the standard network; `*` where the budget of queries ended it.
- *seconds*: CPU seconds on the standard network, for all images, on one thread of a busy machine.
- *clean*: images that the library returned unchanged although it had failed to fool the network. Stored as they are,
  they would make any other model look robust. `ours` where the attack is none of a library's.
- *batch*: of a few examples, how many get another point in a smaller batch.
- *ours*: the accuracy that ours of the same name leaves, in the same norm.

What failed is at the end, with the library's reason. Minimum-norm attacks run without a ball.
"""


def page(table):
    """docs/library_attacks.md."""
    ran, failed = table[table["failed"].isna()], table[table["failed"].notna()]
    lines = [ABOUT, "| attack | norm | accuracy | median norm | passes | seconds | clean | batch | ours |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (attack, norm), rows in ran.groupby(["attack", "norm"], sort=False):
        lines.append(_line(attack, norm, rows.set_index("network"), ran))
    lines += ["\n## What failed here\n", "| attack | norm | reason |", "| --- | --- | --- |"]
    for row in failed.drop_duplicates(["attack", "norm"]).itertuples():
        reason = " ".join(str(row.failed).split()).replace("|", "\\|")[:200]
        lines.append(f"| `{row.attack}` | {row.norm} | {reason} |")
    if missing := [f"`{name}`" for name in every() if name not in set(table["attack"])]:
        lines += ["\n## What was not measured yet\n", f"{', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _line(attack, norm, rows, table):
    accuracies = " / ".join(_percent(rows["accuracy"].get(name)) for name in NETWORKS)
    row = rows.iloc[0]
    library = "." in attack
    clean = ("yes" if (rows["clean_returned"] > 0).any() else "no") if library else "ours"
    batch = f"{row.other_points:.0f} of {row.again:.0f}" if library and row.again == row.again else ""
    passes = f"{row.forwards:g} / {row.backwards:g}{' *' if row.ended > 0 else ''}"
    length = "" if row.median_norm != row.median_norm else f"{row.median_norm:.3g}"
    beside = _ours(attack, norm, table) if library else ""
    cells = [f"`{attack}`", norm, accuracies, length, passes, f"{row.seconds:.1f}", clean, batch, beside]
    return f"| {' | '.join(cells)} |"


def _ours(attack, norm, table):
    name = same_as(attack)
    rows = table[(table["attack"] == name) & (table["norm"] == norm)].set_index("network")
    return " / ".join(_percent(rows["accuracy"].get(network)) for network in NETWORKS) if len(rows) else ""


def same_as(attack):
    """The attack of ours that a library's is by its name, or nothing."""
    name = re.sub("^(linf|l2|l1)|attack$", "", attack.partition(".")[2].lower())
    return next((ours for ours, names in SAME.items() if name in names), "")


def _percent(share):
    return "-" if share is None or share != share else f"{100 * share:.0f} %"


if __name__ == "__main__":
    main()
