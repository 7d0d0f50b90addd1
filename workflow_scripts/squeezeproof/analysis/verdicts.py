"""What the study may say of every compressed model: more robust, less robust, equivalent, or no difference shown."""

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET
from squeezeproof.analysis.names import MODEL
from squeezeproof.analysis.pairs import WHITE_BOX, adjusted
from squeezeproof.statistics.bootstrap import bootstrap_interval, student
from squeezeproof.statistics.paired import equivalence, mcnemar_clustered, tango
from squeezeproof.tables.catalog import MAX_DELTA, VERDICTS

MORE, LESS, EQUIVALENT, NOT_SHOWN = "more robust", "less robust", "equivalent", "no difference shown"
# Pairs that agree in these are runs of one comparison at several seeds.
SOURCE = [f"source_{axis}" for axis in MODEL]
CELL = ["dataset", *MODEL, "comparison", "source", *SOURCE, "seed_relation", "attack", *BUDGET]
LEVELS = ["ratio", "bits"]
ORDER = [key for key in CELL if key not in (*SOURCE, "entry")]
CURVE = [key for key in CELL if key not in LEVELS]
ITSELF = "itself"


def cells(pairs):
    """Pairs by what they compare, seeds together: a dictionary from the values of CELL to a list of pairs.

    `source` names the attacked model without its seed, or is `itself` where base and compressed model are each attacked
    themselves; `seed_relation` tells whether it has the target's seed (`same`) or not (`other`: a surrogate).
    """
    found = {}
    for pair in pairs:
        itself = pair.comparison == WHITE_BOX
        values = {
            "dataset": pair.target["dataset"],
            **{axis: pair.target[axis] for axis in MODEL},
            "comparison": pair.comparison,
            "source": ITSELF if itself else pair.source["variant"],
            **{name: "" if itself else pair.source[axis] for name, axis in zip(SOURCE, MODEL, strict=True)},
            "seed_relation": "same" if pair.source["seed"] == pair.target["seed"] else "other",
            "attack": pair.attack,
            **pair.settings,
        }
        found.setdefault(tuple(values[key] for key in CELL), []).append(pair)
    return found


def verdicts(pairs, statistics):
    """One row per cell with what its data allow to say, and no more.

    `difference` is compressed minus base accuracy, over all images scored in every run and all seeds. `low` and `high`
    bound it (`interval`); `std`, `t_low` and `t_high` are Student's t over seeds. `more robust` and `less robust` need
    both McNemar's test, over images, below alpha after Holm's correction and an interval that excludes 0. `equivalent`
    needs two one-sided tests to place the difference inside the margin in every run (intersection-union, [berger1982]),
    after Holm's correction too; it goes before the other two, as the margin is what the study calls negligible.

    Args:
        pairs: of `read_pairs`.
        statistics: the study's entry of that name: alpha, margin, bootstrap, seed.
    """
    rows = []
    for key, members in cells(pairs).items():
        runs, seeds = _runs(members), _by_seed(members)
        only_compressed, only_base = (runs > 0).sum(1), (runs < 0).sum(1)
        negligible = equivalence(only_compressed, only_base, runs.shape[1], statistics["margin"])
        low, high = interval(seeds, statistics, statistics["alpha"])
        _, std, t_low, t_high = student(seeds.mean(1), statistics["alpha"])
        rows.append(
            {
                **dict(zip(CELL, key, strict=True)),
                **{"difference": seeds.mean(), "low": low, "high": high, "std": std, "t_low": t_low, "t_high": t_high},
                **{"seeds": len(seeds), "runs": len(runs), "n": runs.shape[1]},
                "p_difference": mcnemar_clustered(runs.sum(0, dtype=int)),
                "p_equivalence": negligible.max(),
                "family": members[0].family,
                "favours": _favours(members[0]),
            }
        )
    if not rows:
        return VERDICTS.frame(rows)
    table = pd.DataFrame(rows)
    table = adjusted(table, {f"p_{kind}": f"p_{kind}_holm" for kind in ("difference", "equivalence")})
    table["verdict"] = [verdict(row, statistics["alpha"]) for row in table.itertuples()]
    table["sentence"] = [sentence(row, statistics) for row in table.itertuples()]
    return VERDICTS.frame(table).sort_values(ORDER, ignore_index=True)


def max_delta(pairs, statistics):
    """One row per curve over ratios: the poster's max delta and its honest counterpart.

    `max_delta` is the largest SIGNED difference compressed minus base [vora2023], which hides every loss where
    one ratio gains. `largest_delta` is the difference of largest size, its sign kept; its interval is Bonferroni's over
    the `levels`, so it covers however the ratio was chosen.
    """
    curves = {}
    for key, members in cells(pairs).items():
        row = dict(zip(CELL, key, strict=True))
        curves.setdefault(tuple(row[name] for name in CURVE), []).append((row["ratio"], members))
    rows = []
    for key, levels in curves.items():
        levels = sorted(levels, key=lambda level: level[0])
        differences = [_by_seed(members) for _, members in levels]
        means = np.array([difference.mean() for difference in differences])
        signed, largest = int(means.argmax()), int(np.abs(means).argmax())
        low, high = interval(differences[largest], statistics, statistics["alpha"] / len(levels))
        rows.append(
            {
                **dict(zip(CURVE, key, strict=True)),
                **{"levels": len(levels), "base_accuracy": _base_accuracy(levels[0][1])},
                **{"max_delta": means[signed], "max_delta_ratio": levels[signed][0]},
                **{"largest_delta": means[largest], "largest_delta_ratio": levels[largest][0]},
                **{"low": low, "high": high},
                **dict(zip(["seeds", "n"], differences[largest].shape, strict=True)),
            }
        )
    return MAX_DELTA.frame(rows).sort_values([key for key in ORDER if key in CURVE], ignore_index=True)


def interval(differences, statistics, alpha):
    """Interval of the mean of differences [S, N], covering it with probability 1 - alpha.

    With several seeds the hierarchical bootstrap; with one Tango's score interval, which also has a width where no
    image differs, and there the bootstrap has none.
    """
    row = differences[0]
    # Runs of one seed against several sources may average to fractions, which are no counts.
    if not differences.any() or (len(differences) == 1 and np.isin(row, (-1, 0, 1)).all()):
        low, high = tango((row > 0).sum(), (row < 0).sum(), len(row), alpha)
        return float(low), float(high)
    return bootstrap_interval(differences, alpha, statistics["bootstrap"], statistics["seed"])


def verdict(row, alpha):
    """The verdict on a row of the table that has its P values and its interval."""
    if row.p_equivalence_holm < alpha:
        return EQUIVALENT
    if is_shown(row, alpha):
        return MORE if row.difference > 0 else LESS
    return NOT_SHOWN


def is_shown(row, alpha):
    """Whether the row shows a difference: Holm's P value below alpha, and an interval on the difference's side of 0."""
    beyond = row.low > 0 if row.difference > 0 else row.high < 0
    return bool(row.p_difference_holm < alpha and beyond)


def sentence(row, statistics):
    """The row in plain words."""
    moved = f"{100 * abs(row.difference):.1f} points {'above' if row.difference > 0 else 'below'}"
    crafted = "each attacked itself" if row.source == ITSELF else f"on images crafted on {row.source}"
    if row.seed_relation == "other":
        crafted += " of another seed"
    bounds = f"{100 * (1 - statistics['alpha']):g} % interval {100 * row.low:+.1f} to {100 * row.high:+.1f}"
    margin = f"{100 * statistics['margin']:g} points"
    seeds = f"{row.seeds} seed{'s' * (row.seeds > 1)}"
    text = f"{row.verdict.capitalize()}: under {row.attack}, {crafted}, the accuracy of the compressed model is "
    text += f"{moved if row.difference else 'exactly'} that of its base ({bounds}; {seeds}, {row.n} images)"
    if row.verdict == EQUIVALENT:
        text += f", within the margin of {margin}"
        text += ", though not zero" if is_shown(row, statistics["alpha"]) else ""
    elif row.verdict == NOT_SHOWN:
        text += f"; that is no evidence of equality, which needs the margin of {margin}"
    if row.seeds == 1:
        text += "; one seed says nothing of other trainings"
    if row.favours:
        attacked = "base" if row.favours == "compressed" else "compressed"
        text += f"; these images were made for the {attacked} model, which favours the {row.favours} one"
    return text + "."


def _favours(pair):
    """Which of the two has the easier task because the images were crafted on the other, if either."""
    if pair.comparison == WHITE_BOX:
        return ""
    return {pair.target["base"]: "compressed", pair.target["name"]: "base"}.get(pair.source["name"], "")


def _runs(pairs):
    """Differences int8 [runs, N] of pairs over the images that all of them scored."""
    scored = np.logical_and.reduce([pair.scored for pair in pairs])
    return np.stack([pair.difference[scored] for pair in pairs])


def _by_seed(pairs):
    """Differences float [S, N], the mean over the runs of every seed of the target."""
    seeds = np.array([pair.target["seed"] for pair in pairs])
    runs = _runs(pairs)
    return np.stack([runs[seeds == seed].mean(0) for seed in np.unique(seeds)])


def _base_accuracy(pairs):
    scored = np.logical_and.reduce([pair.scored for pair in pairs])
    return float(np.mean([pair.base_right[scored].mean() for pair in pairs]))
