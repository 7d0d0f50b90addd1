"""What the study may say of every compressed model: more robust, less robust, equivalent, or no difference shown; of
images that cannot speak for it, that they transfer worse or that a search found less.

Two kinds of verdict are passed and never mixed (`statistics.crossed`): on these very models, from the images alone, and
on trainings, from two seeds or more. Each keeps the chance of any false difference in a family below alpha, and that of
any false equivalence.
"""

from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET
from squeezeproof.analysis.names import CONTROL, MODEL
from squeezeproof.analysis.pairs import Pair, adjusted
from squeezeproof.statistics.crossed import About, Mean, half_width, interval, p_difference, p_equivalence
from squeezeproof.tables.catalog.comparisons import VERDICTS
from squeezeproof.tables.table import points, records, unseen
from squeezeproof.tables.words import Cause, Comparison, Verdict

# Where no row isolates compression.
NOT_ISOLATED = (
    "The compressed models may differ from their bases in their training, too, so no verdict says what compression did."
)
PROVES_NOTHING = (
    "gradients of the model did not lead this attack, or the audit warns that it is weak or one of the models broken: "
    "that it finds no more proves nothing in the model's favour"
)
# Pairs that agree in these are runs of one comparison at several seeds.
SOURCE = [f"source_{axis}" for axis in MODEL]
CELL = ["dataset", *MODEL, "against", "comparison", "source", *SOURCE, "seed_relation", "attack", *BUDGET]
ORDER = [key for key in CELL if key not in (*SOURCE, "entry")]
ITSELF = "itself"


def cells(pairs: list[Pair]) -> dict[tuple[Any, ...], list[Pair]]:
    """Pairs by what they compare, seeds together: a dictionary from the values of CELL to a list of pairs.

    `source` names the attacked model without its seed, or is `itself` where base and compressed model are each attacked
    themselves; `seed_relation` tells whether it has the target's seed (`same`) or not (`other`: a surrogate).
    """
    found = {}
    for pair in pairs:
        itself = pair.comparison == Comparison.WHITE_BOX
        values = {
            "dataset": pair.target["dataset"],
            **{axis: pair.target[axis] for axis in MODEL},
            "against": pair.against,
            "comparison": pair.comparison,
            "source": ITSELF if itself else pair.source["variant"],
            **{name: "" if itself else pair.source[axis] for name, axis in zip(SOURCE, MODEL, strict=True)},
            "seed_relation": "same" if pair.source["seed"] == pair.target["seed"] else "other",
            "attack": pair.attack,
            **pair.settings,
        }
        found.setdefault(tuple(values[key] for key in CELL), []).append(pair)
    return found


def verdicts(pairs: list[Pair], statistics: dict[str, Any]) -> pd.DataFrame:
    """One row per cell and kind of verdict with what its data allow to say, and no more.

    Every compressed model is judged `against` its base, as it would be shipped in its place, and against its control, a
    base that was trained as long. What only the first shows may be the training's. `isolates_compression` says whether
    compression is all that tells the two models apart. Controls are judged against their bases too.

    `about` is the kind: `these models`, or `trainings` where there are two seeds or more. `difference` is compressed
    minus reference accuracy, over all images scored in every run and all seeds, `low` and `high` its interval of that
    kind, `std` that of the seeds, `mean_square` the mean over images of the squared mean over seeds (`crossed.Mean`).

    A difference is shown where its P value is below alpha after Holm's correction over the family. `equivalent` needs
    two one-sided tests below alpha after the same correction: of the mean over trainings, or of every one of these
    models (intersection-union, [berger1982]). It goes before the other verdicts, as the margin is what the study calls
    negligible. `detectable` is the smallest difference that the row could have shown.

    `clean_difference` is compressed minus base accuracy on the same images before the attack. Of the share `both_right`
    of the images, which both models then classify rightly, `difference_both_right` is the difference under attack;
    `explained_by` says whether most of `difference` comes from these images, `robustness`, or from the others, `clean
    accuracy`.

    Args:
        pairs: of `read_pairs`.
        statistics: the study's entry of that name: alpha, margin.
    """
    rows = []
    for key, members in cells(pairs).items():
        scored = scored_by_all(members)
        if not scored.any():
            # Of no image nothing can be said.
            continue
        runs, seeds = _runs(members, scored), by_seed(members, scored)
        found, alone = Mean.of(seeds), [Mean.of(run[None]) for run in runs]
        shared = {
            **dict(zip(CELL, key, strict=True)),
            **{"difference": found.mean, "std": np.sqrt(found.variance), "mean_square": found.square},
            **{"seeds": len(seeds), "runs": len(runs), "n": runs.shape[1]},
            **{"family": members[0].family, "favours": _favours(members[0]), "found": found},
            "led": all(member.led for member in members),
            "kept": np.mean([member.reference_right[scored].mean() for member in members]),
            "isolates_compression": members[0].isolates_compression,
            **_explained(members),
        }
        for about in kinds(len(seeds)):
            low, high = interval(found, statistics["alpha"], about)
            tested = [found] if about == About.TRAININGS else alone
            rows.append(
                {
                    **shared,
                    **{"about": about, "low": low, "high": high},
                    "p_difference": p_difference(found, about),
                    "p_equivalence": max(p_equivalence(one, statistics["margin"], about) for one in tested),
                }
            )
    if not rows:
        return VERDICTS.frame(rows)
    new = {f"p_{test}": f"p_{test}_holm" for test in ("difference", "equivalence")}
    table = adjusted(pd.DataFrame(rows), new, ["family", "about"])
    alpha = statistics["alpha"]
    table["detectable"] = [half_width(row.found, alpha / row.family_size, row.about) for row in records(table)]
    table["verdict"] = [verdict(row, alpha) for row in table.itertuples()]
    table["sentence"] = [sentence(row, statistics) for row in table.itertuples()]
    return VERDICTS.frame(table.drop(columns=["found", "led", "kept"])).sort_values(
        [*ORDER, "about"], ignore_index=True
    )


def kinds(seeds: int) -> list[About]:
    """The kinds of verdict that data of so many seeds allow."""
    return [About.MODELS] if seeds == 1 else [About.MODELS, About.TRAININGS]


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that reach furthest: about trainings where there are several seeds, else these models."""
    return table[table["about"].eq(About.TRAININGS) | table["seeds"].eq(1)]


def verdict(row: Any, alpha: float) -> Verdict:
    """The verdict on a row of the table that has its P values after Holm's correction.

    Images that were made for another model prove nothing in favour of the one they were not made for, nor does a search
    that no gradients of the model led: it found less.
    """
    if row.p_equivalence_holm < alpha:
        return Verdict.EQUIVALENT
    if row.p_difference_holm >= alpha:
        return Verdict.NOT_SHOWN
    compressed_gains = row.difference > 0
    if row.comparison != Comparison.WHITE_BOX and compressed_gains == (row.favours != "base"):
        return Verdict.TRANSFERS_WORSE
    if not compressed_gains:
        return Verdict.LESS
    return Verdict.MORE if row.led else Verdict.FOUND_LESS


def sentence(row: Any, statistics: dict[str, Any]) -> str:
    """The row in plain words."""
    crafted = "each attacked itself" if row.source == ITSELF else f"on images crafted on {row.source}"
    if row.seed_relation == "other":
        crafted += " of another seed"
    bounds = f"{100 * (1 - statistics['alpha']):g} % interval by itself {points(row.low)} to {points(row.high)}"
    sample = f"{row.seeds} seed{'s' * (row.seeds > 1)}, {row.n} image{'s' * (row.n > 1)}"
    text = f"{row.verdict.capitalize()}, {row.about}: under {row.attack}, {crafted}, the accuracy of "
    text += f"{_compared(row)} ({bounds}; {sample})"
    margin = f"{100 * statistics['margin']:g} points"
    if row.verdict == Verdict.EQUIVALENT:
        text += f", within the margin of {margin}"
        text += ", though not zero" if row.p_difference_holm < statistics["alpha"] else ""
    elif row.verdict == Verdict.NOT_SHOWN:
        if row.low > 0 or row.high < 0:
            text += f"; the interval leaves out 0, as that of one of {row.family_size} comparisons may do by chance"
        text += f"; {unseen(row.detectable)}; that is no evidence of equality, which needs the margin of {margin}"
    if row.about == About.MODELS:
        text += "; this says nothing of other trainings"
    if row.kept <= statistics["margin"] and row.verdict in (Verdict.EQUIVALENT, Verdict.NOT_SHOWN):
        text += f"; the {row.against} keeps {100 * row.kept:.1f} % there, so there was next to nothing to lose"
    if not row.led and row.verdict in (Verdict.FOUND_LESS, Verdict.EQUIVALENT):
        text += f"; {PROVES_NOTHING}"
    if row.favours:
        attacked = "base" if row.favours == "compressed" else "compressed"
        text += f"; these images were made for the {attacked} model, which favours the {row.favours} one"
    return f"{text}. {_beside_clean(row)}"


def _compared(row: Any) -> str:
    """Who is how far from whom, and what that may be due to."""
    one = row.seeds == 1
    subject = "control" if row.compression == CONTROL else "compressed model"
    theirs = f"the {subject} is" if one else f"the {subject}s is"
    apart = _apart(row.difference) or "exactly"
    if row.against == CONTROL:
        return f"{theirs} {apart} that of {'its control' if one else 'their controls'}, trained alike, not compressed"
    text = f"{theirs} {apart} that of {'its base' if one else 'their bases'}"
    if row.isolates_compression:
        return text
    return f"{text}, whose training may differ, too"


def _beside_clean(row: Any) -> str:
    """What the clean images have to do with the difference."""
    text = f"On clean images it is {_apart(row.clean_difference) or 'equal'}"
    if not row.both_right:
        return f"{text}; no image is classified rightly by both."
    both = _apart(row.difference_both_right) or "equal"
    text += f", and under attack {both} on the {100 * row.both_right:.0f} % of images that both then classify rightly"
    if row.explained_by == Cause.CLEAN_ACCURACY:
        return f"{text}: most of the difference comes from the other images, from clean accuracy."
    return f"{text}: most of the difference comes from these." if row.explained_by else f"{text}."


def _apart(difference: float) -> str:
    """A difference of accuracies, such as `1.2 points below`; empty where there is none."""
    return f"{100 * abs(difference):.1f} points {'above' if difference > 0 else 'below'}" if difference else ""


def _favours(pair: Pair) -> str:
    """Which of the two has the easier task because the images were crafted on the other, if either."""
    if pair.comparison == Comparison.WHITE_BOX:
        return ""
    return {pair.target["base"]: "compressed", pair.target["name"]: "base"}.get(pair.source["name"], "")


def _explained(pairs: list[Pair]) -> dict[str, Any]:
    """The columns that set the difference under attack beside the one on clean images."""
    scored = scored_by_all(pairs)
    clean = np.mean([pair.clean_difference[scored].mean() for pair in pairs])
    both = np.stack([pair.both_right[scored] for pair in pairs])
    under_attack = np.stack([pair.difference[scored] for pair in pairs])
    on_both = (under_attack * both).mean()
    off_both = under_attack.mean() - on_both
    explained = Cause.ROBUSTNESS if abs(on_both) >= abs(off_both) else Cause.CLEAN_ACCURACY
    return {
        **{"clean_difference": clean, "both_right": both.mean()},
        "difference_both_right": on_both / both.mean() if both.any() else np.nan,
        "explained_by": explained if under_attack.sum() else "",
    }


def scored_by_all(pairs: list[Pair]) -> np.ndarray:
    """Which images all of the pairs scored."""
    return np.logical_and.reduce([pair.scored for pair in pairs])


def _runs(pairs: list[Pair], scored: np.ndarray) -> np.ndarray:
    """Differences int8 [runs, N] of pairs over some images."""
    return np.stack([pair.difference[scored] for pair in pairs])


def by_seed(pairs: list[Pair], scored: np.ndarray) -> np.ndarray:
    """Differences float [S, N] of pairs over some images, the mean over the runs of every seed of the target.

    On images of surrogates of the same seeds, targets share their surrogates, and a seed counts for both: its
    row is then S times the mean less S - 1 times the mean without it in either role, the jackknife's [efron1981].
    Of two seeds there is no mean without one, and their two runs share nothing.
    """
    targets, sources = (np.array([getattr(pair, side)["seed"] for pair in pairs]) for side in ("target", "source"))
    runs, seeds = _runs(pairs, scored), np.unique(targets)
    own = _of_targets(runs, targets)
    left = [(targets != seed) & (sources != seed) for seed in seeds]
    shared = (targets != sources).any() and np.isin(sources, seeds).all()
    if not shared or not all(kept.any() for kept in left):
        return own
    without = np.stack([_of_targets(runs[kept], targets[kept]).mean(0) for kept in left])
    rows = len(seeds) * own.mean(0) - (len(seeds) - 1) * without
    # Where pairs are missing, their mean is not quite the whole one.
    return rows + (own.mean(0) - rows.mean(0))


def _of_targets(runs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean of the runs [runs, N] of every seed of the target, [S, N]."""
    return np.stack([runs[targets == seed].mean(0) for seed in np.unique(targets)])
