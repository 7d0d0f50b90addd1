"""Small tables of a study that the tests of tables, figures and the story share."""

import pandas as pd

from squeezeproof.tables.catalog.whole import TABLES

KINDS = ("these models", "trainings")
AXES = ["architecture", "training", "compression", "ratio", "bits", "finetuning"]
MODELS = {
    0.0: ("cnn8", "standard", "none", 0.0, 32, "none"),
    0.25: ("cnn8", "standard", "filter", 0.25, 32, "standard"),
    0.5: ("cnn8", "standard", "filter", 0.5, 32, "standard"),
}


def whole(name, rows):
    """The table of that name, its columns that the rows lack empty, or 0 where they are numbers."""
    table, frame = TABLES[name], pd.DataFrame(rows)
    lacking = [column for column in table.columns if column.name not in frame and column.name != "*"]
    return table.frame(frame.assign(**{column.name: "" if column.kind.text else 0 for column in lacking}))


def name(ratio, seed=0):
    instance = f"filter-{100 * ratio:g}.standard" if ratio else "none.none"
    return f"cnn8.standard.{instance}.s{seed}"


def variant(ratio):
    return name(ratio).removesuffix(".s0")


def attacks(count=1):
    """Attack instances, one entry with one budget each: fgsm-eps0.1, a1-eps0.1, ..."""
    return [f"{'fgsm' if number == 0 else f'a{number}'}-eps0.1" for number in range(count)]


def of_attack(attack):
    """The entry and method of an instance of `attacks`."""
    return dict.fromkeys(["entry", "method"], attack.partition("-")[0])


def over_seeds(count=1, runs=1):
    """White-box 40 - 20 ratio, from the base 60 - 20 ratio (40 on itself), clean 90, all in per cent."""
    rows = []
    for target in MODELS.values():
        ratio = target[3]
        rows.append((target, target, "clean", "clean", 0.9))
        for attack in attacks(count):
            rows.append((target, target, "white-box", attack, 0.4 - 0.2 * ratio))
            if ratio:
                rows.append((MODELS[0.0], target, "transfer", attack, 0.6 - 0.2 * ratio))
    columns = [f"{side}_{axis}" for side in ("source", "target") for axis in AXES]
    return pd.DataFrame(
        [
            {
                "dataset": "digits",
                **dict(zip(columns, [*source, *target], strict=True)),
                **{"threat": threat, "seed_relation": "same", "attack": attack, **of_attack(attack)},
                **{"norm": "linf", "eps": 0.0 if attack == "clean" else 0.1, "runs": runs, "mean": mean},
                **{"std": 0.02 if runs > 1 else float("nan"), "min": mean, "max": mean},
            }
            for source, target, threat, attack, mean in rows
        ]
    )


def robust_accuracy():
    """The audit warns of the largest ratio under FGSM, white-box."""
    pairs = [(ratio, ratio) for ratio in MODELS] + [(0.0, ratio) for ratio in MODELS if ratio]
    return whole(
        "robust_accuracy",
        [
            {
                **{"dataset": "digits", "source": name(source), "target": name(target), "attack": "fgsm-eps0.1"},
                **{**of_attack("fgsm-eps0.1"), "norm": "linf", "eps": 0.1},
                **{"accuracy": 0.5, "warnings": "10" if source == target == 0.5 else ""},
            }
            for source, target in pairs
        ],
    )


def compression_table():
    return pd.DataFrame(
        [
            {
                "dataset": "digits",
                "model": name(ratio),
                "variant": variant(ratio),
                **dict(zip(AXES, axes, strict=True)),
                **{"seed": 0, "made_with": ""},
            }
            for ratio, axes in MODELS.items()
        ]
    )


def stages_table():
    standing = {(0.0, "apgd"): 0.5, (0.0, "square"): 0.4, (0.5, "apgd"): 0.3, (0.5, "square"): 0.2}
    return pd.DataFrame(
        [
            {
                **{"dataset": "digits", "source": name(ratio), "attack": "suite-eps0.1", "entry": "suite"},
                **{"suite": "suite", "eps": 0.1, "method": method},
                **{"order": 1 + (method == "square"), "loss": "cross_entropy" if method == "apgd" else ""},
                "gradient": "straight-through" if method == "apgd" else "",
                **{"attacked": 10, "standing": int(10 * accuracy), "n": 10, "accuracy": accuracy},
            }
            for (ratio, method), accuracy in standing.items()
        ]
    )


def source_axes(source):
    return [""] * len(AXES) if source == "itself" else MODELS[0.0]


def verdicts(count=1, seeds=1):
    """White-box: the larger ratio less robust by 10 points, the smaller without a difference shown; images of the base,
    which favour the compressed models, transfer worse. Of several seeds all verdicts come twice, in both kinds."""
    found = {0.25: ("no difference shown", -0.01), 0.5: ("less robust", -0.1)}
    rows = []
    for ratio, (verdict, difference) in found.items():
        for attack in attacks(count):
            rows.append((ratio, attack, "white-box", "itself", verdict, difference, ""))
            base = variant(0.0)
            rows.append((ratio, attack, "same-source", base, "transfers worse", 0.2, "compressed"))
    keys = ["attack", "comparison", "source", "verdict", "difference", "favours"]
    return pd.DataFrame(
        [
            {
                **{"dataset": "digits", **dict(zip(AXES, MODELS[ratio], strict=True))},
                **dict(zip(keys, row, strict=True)),
                **{f"source_{axis}": value for axis, value in zip(AXES, source_axes(row[2]), strict=True)},
                **{"seed_relation": "same", **of_attack(row[0]), "norm": "linf", "eps": 0.1},
                **{"low": row[4] - 0.03, "high": row[4] + 0.03, "seeds": seeds, "runs": seeds, "n": 200},
                **{"about": kind, "against": "base", "isolates_compression": False, "detectable": 0.04},
                **{"clean_difference": -0.02, "both_right": 0.8, "difference_both_right": -0.01},
                **{"explained_by": "clean accuracy", "sentence": ""},
            }
            for ratio, *row in rows
            for kind in KINDS[: 1 + (seeds > 1)]
        ]
    )


def answers(seeds=1):
    """The larger ratio is not to be shipped, of the smaller one nothing can be told; of several seeds in both kinds."""
    found = {
        0.25: ("cannot tell", "no loss is shown", 0.35, -0.05),
        0.5: ("do not ship", "it loses 7 to 13 points", 0.3, -0.1),
    }
    return whole(
        "answers",
        [
            {
                **{"dataset": "digits", **dict(zip(AXES, MODELS[ratio], strict=True)), "about": kind},
                **{"answer": said, "reasons": f"{reasons} <i>", "changes": "more images", "seeds": seeds},
                **{"threat": "white-box, Linf up to 0.1", "attack": "fgsm-eps0.1", "crafted_on": "itself"},
                **{"clean_accuracy": 0.88, "clean_low": 0.85, "clean_high": 0.91, "base_clean_accuracy": 0.9},
                **{"robust_accuracy": robust, "robust_low": robust - 0.04, "robust_high": robust + 0.04},
                **{"base_robust_accuracy": 0.4, **_change("clean_difference", -0.02)},
                **{**_change("robust_difference", difference), **_change("by_training", -0.03)},
                **_change("by_compression", difference + 0.03),
            }
            for ratio, (said, reasons, robust, difference) in found.items()
            for kind in KINDS[: 1 + (seeds > 1)]
        ],
    )


def effects(seeds=1):
    """The parts of the differences of `answers`, each with an interval of its own."""
    keys = ["dataset", *AXES, "about", "attack", "by_training", "by_compression", "seeds"]
    table = answers(seeds).rename(columns={"crafted_on": "source"})
    totals = [_change("total", difference) for difference in table["robust_difference"]]
    bounds = [f"{part}_{end}" for part in ("by_training", "by_compression") for end in ("low", "high")]
    return whole("effects", table[[*keys, "source", *bounds]].assign(**pd.DataFrame(totals), comparison="white-box"))


def _change(column, value):
    return {column: value, f"{column}_low": value - 0.03, f"{column}_high": value + 0.03}


def clean_differences(seeds=1):
    return pd.DataFrame(
        [
            {
                **{"dataset": "digits", **dict(zip(AXES, axes, strict=True))},
                **{"difference": -0.02, "low": -0.05, "high": 0.01, "seeds": seeds, "n": 200},
                **{"about": kind, "against": "base"},
            }
            for ratio, axes in MODELS.items()
            if ratio
            for kind in KINDS[: 1 + (seeds > 1)]
        ]
    )


def describe(ratio, seed=0, training="standard"):
    """A model as `Study.describe` tells of it."""
    axes = dict(zip(AXES, MODELS[ratio], strict=True)) | {"training": training}
    names = {"name": name(ratio, seed).replace("standard", training, 1)}
    names["variant"] = variant(ratio).replace("standard", training, 1)
    return {
        "dataset": "digits",
        **axes,
        **names,
        "seed": seed,
        "base": name(0.0, seed).replace("standard", training, 1),
        "control": "",
    }
