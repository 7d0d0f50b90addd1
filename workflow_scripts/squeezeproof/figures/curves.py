"""Accuracy against eps: the white-box curves of sweeps, and what was crafted on one source scored on all targets."""

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.names import MODEL, averaged, entry_of, model_label, shared_parts, written
from squeezeproof.errors import InputError
from squeezeproof.figures.style import COLORS, MARKERS
from squeezeproof.statistics.means import mean_interval
from squeezeproof.store.predictions import CLEAN

DASHES = ["-", "--", ":", "-."]
FAILED = "{what} of {of} passed the audit; tables/audit.csv says why and what to do"


def accuracy_against_eps(table, dataset, sweep):
    """White-box accuracy of every model of a sweep against eps, seeds together, with 95 % intervals.

    A curve ends at the last eps that all its seeds reached; a cross marks that one of them stopped there below chance.

    Args:
        table: the table `sweeps`.
    """
    table = table[(table["dataset"] == dataset) & (table["sweep"] == sweep)]
    if table.empty:
        raise InputError(FAILED.format(what=f"no point of {sweep}", of=dataset))
    table = table.rename(columns={axis: f"target_{axis}" for axis in MODEL})
    curves = []
    for name, rows in _by_model(table, "target"):
        points = rows.groupby("eps").agg(
            runs=("accuracy", "count"), mean=("accuracy", "mean"), std=("accuracy", "std"), n=("n", "min"),
            stopped=("stopped", "any"),
        )  # fmt: skip
        curves.append((name, points[points["runs"] == rows["seed"].nunique()].reset_index(), {}))
    seeds = int(table["seed"].nunique())
    title = f"{written(dataset)}, {sweep}: white-box accuracy ({averaged(seeds)})"
    return _figure(title, curves, table["chance"].iloc[0], table["norm"].max())


def transfer(table, trials, chance, dataset, source, attacks):
    """Accuracy of every target against the eps of one attack, crafted once on each seed of one source.

    The source itself (white-box) is drawn thicker; targets of other seeds than the source's have curves of their own.

    Args:
        table: the table `over_seeds`.
        trials: test images of one seed.
        chance: 1 / classes.
        source: description (`Study.describe`) of one seed of the source.
        attacks: names of the attack's instances.
    """
    table = table[table["dataset"] == dataset]
    crafted = table[table["attack"].isin(attacks)]
    for axis in MODEL:
        crafted = crafted[crafted[f"source_{axis}"].eq(source[axis])]
    crafted_on = source["name"].rpartition(".")[0]
    if crafted.empty:
        raise InputError(FAILED.format(what=f"no set of {', '.join(attacks)}", of=f"{crafted_on} ({dataset})"))
    clean = table[table["attack"] == CLEAN].drop(columns=["threat", "seeds"]).assign(eps=0.0)
    curves = []
    for name, rows in _by_model(crafted, "target"):
        # Clean accuracy has no source.
        start = clean.merge(rows[[f"target_{axis}" for axis in MODEL]].head(1))
        for (threat, seeds), found in rows.groupby(["threat", "seeds"], sort=False):
            other = "" if seeds == "same" else " (other seed)"
            points = pd.concat([start, found], ignore_index=True).sort_values("eps").assign(n=trials)
            curves.append((name + other, points, {"lw": 2.6} if threat == "white-box" else {}))
    attack = written(entry_of(attacks[0]))
    title = f"{written(dataset)}, {attack} crafted on {crafted_on} ({averaged(clean['runs'].max())})"
    return _figure(title, curves, chance, crafted["norm"].iloc[0])


def _by_model(table, side):
    """(label, rows) of every model of a table, seeds together."""
    shared = shared_parts(table, side)
    for _, rows in table.groupby([f"{side}_{axis}" for axis in MODEL], sort=False):
        yield model_label(rows.iloc[0], side, shared), rows


def _figure(title, curves, chance, norm):
    """A figure of (label, points, style) as lines with bands; points have eps, mean, std, runs, n and stopped."""
    figure, axes = plt.subplots(figsize=(7, 3.4 + 0.1 * len(curves)), layout="constrained")
    for index, (label, points, style) in enumerate(curves):
        color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
        line = {"lw": 1.4, "ls": DASHES[index // len(COLORS) % len(DASHES)]} | style
        low, high = mean_interval(*(points[key].to_numpy(float) for key in ("mean", "std", "runs", "n")))
        axes.plot(points["eps"], points["mean"], color=color, marker=marker, ms=4, label=label, **line)
        axes.fill_between(points["eps"], low, high, color=color, alpha=0.15, lw=0)
        if "stopped" in points and points["stopped"].any():
            last = points.iloc[-1]
            axes.plot(last["eps"], last["mean"], color=color, marker="x", ms=9, mew=2, ls="none")
    axes.axhline(chance, color="#555555", lw=1, ls=(0, (1, 2)))
    axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="#555555")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(f"eps ({norm}, pixels in [0, 1])")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    figure.legend(loc="outside lower center", ncols=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure
