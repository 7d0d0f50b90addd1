"""Every compressed model paired with its base and its control, image by image, from stored predictions; no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET
from squeezeproof.analysis.names import CONTROL, by_name
from squeezeproof.analysis.repeated import repeated
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.statistics.multiplicity import holm
from squeezeproof.statistics.paired import mcnemar, tango
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.study.entities import Instance
from squeezeproof.study.instances import needs_gradients
from squeezeproof.tables.catalog.comparisons import COMPARISONS, FLIPS
from squeezeproof.tables.words import Comparison
from squeezeproof.types import Described, Key, Reference

BASE = "base"
UNIQUE = ["dataset", "target", "against", "source", "comparison", "attack"]
COUNTS = ["n", "both_right", "only_reference_right", "only_compressed_right", "both_wrong"]
FLIPS_SHOWN = 20


@dataclass(frozen=True)
class Pair:
    """A compressed model and its reference under one attack: its base, or its control, a base that was trained as long.

    Attributes:
        target, source: descriptions (`Study.describe`) of the compressed model and of the model attacked; under the
            comparison `white-box` that is the target, and the reference faces the images crafted on itself. The target
            may be a control, beside its base.
        against: `base` or `control`, what the reference is.
        comparison: `same-source` or `white-box`.
        attack, settings: the attack instance's name; its entry, method, norm and eps.
        reference_right, compressed_right, scored: bool [N]; images that are not scored on both are in neither's count.
        reference_clean, compressed_clean: bool [N], right before the attack.
        led: whether gradients of the model attacked led to the images, as far as the audit can tell, and neither model
            is broken. Of others that they found less proves nothing in a model's favour.
        warned: whether the audit warns of the compressed model's cell or of its reference's.
        reference_works: whether the audit finds the reference neither broken nor near chance.
    """

    target: Described
    source: Described
    against: Reference
    comparison: Comparison
    attack: str
    settings: dict[str, Any]
    reference_right: np.ndarray
    compressed_right: np.ndarray
    scored: np.ndarray
    reference_clean: np.ndarray
    compressed_clean: np.ndarray
    led: bool = True
    warned: bool = False
    reference_works: bool = True

    @property
    def difference(self) -> np.ndarray:
        """Compressed minus reference, int8 [N] in {-1, 0, 1}, to be read where `scored`."""
        return self.compressed_right.astype(np.int8) - self.reference_right.astype(np.int8)

    @property
    def clean_difference(self) -> np.ndarray:
        """The same before the attack."""
        return self.compressed_clean.astype(np.int8) - self.reference_clean.astype(np.int8)

    @property
    def both_right(self) -> np.ndarray:
        """Which images both classify rightly before the attack, bool [N]."""
        return self.reference_clean & self.compressed_clean

    @property
    def columns(self) -> dict[str, Any]:
        """What the tables say of the pair."""
        return {
            "dataset": self.target["dataset"],
            "target": self.target["name"],
            "against": self.against,
            "reference": self.target[self.against],
            "source": self.source["name"],
            "comparison": self.comparison,
            "attack": self.attack,
            **self.settings,
            "seed": self.target["seed"],
        }

    @property
    def family(self) -> str:
        """Tests that answer one question together: all of a data set, attack method, comparison and kind of reference,
        at any eps, of all models.
        """
        return f"{self.target['dataset']}/{self.settings['method']}/{self.comparison}/{self.against}"

    @property
    def isolates_compression(self) -> bool:
        """Whether compression is all that the target has and the reference has not."""
        return self.target["compression"] != CONTROL and self.target["control"] == self.target[self.against]


def read_pairs(
    paths: Iterable[str | Path], descriptions: Iterable[Described], audit: Audit = NOTHING_FOUND
) -> list[Pair]:
    """Every pair of a compressed model and its base or control that the predictions files hold, by the columns UNIQUE.

    Args:
        paths: predictions files.
        descriptions: of every model they name (`Study.describe`); of models that are the same, bit for bit, the first
            stands for all.
        audit: the Audit of the study; cells that failed are left out.

    Raises InputError where files of one data set were made from different test images.
    """
    models = by_name(descriptions)
    outcomes, images, left_out = {}, {}, repeated(paths, descriptions)
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset, target, source = (metadata[key] for key in ("dataset", "target", "source"))
        if audit.failed(dataset, source, target, CLEAN) or {(dataset, source), (dataset, target)} & left_out:
            continue
        if images.setdefault(dataset, metadata["clean_fingerprint"]) != metadata["clean_fingerprint"]:
            raise InputError(
                f"{path}: was made from other test images than the other predictions on {dataset}; "
                f"remove results/*/predictions/{dataset} and run again"
            )
        for attack, settings in metadata["attacks"].items():
            if audit.failed(dataset, source, target, attack):
                continue
            predicted = predictions[attack]
            scored, budget = predicted != NOT_SCORED, {key: settings[key] for key in BUDGET}
            cell = dataset, source, target, attack
            works = not audit.knows_nothing(*cell)
            led, warned = works and _led(settings, audit, cell), bool(audit.warnings(*cell))
            judged = predicted == labels, scored, budget, predictions[CLEAN] == labels, led, warned, works
            outcomes[dataset, target, source, attack] = judged
    pairs = []
    for (dataset, name, source, attack), (right, scored, settings, clean, led, warned, _) in outcomes.items():
        target = models[dataset, name]
        for against, reference in references(target):
            faced = {Comparison.SAME_SOURCE: source}
            if source == name:
                faced[Comparison.WHITE_BOX] = reference
            for comparison, own in faced.items():
                found = outcomes.get((dataset, reference, own, attack))
                if found is not None:
                    compared = (target, models[dataset, source], against, comparison, attack, settings)
                    seen = found[0], right, scored & found[1], found[3], clean
                    works = found[6]
                    pairs.append(Pair(*compared, *seen, led and works, warned or found[5], works))
    return sorted(pairs, key=lambda pair: [pair.columns[key] for key in UNIQUE])


def _led(settings: dict[str, Any], audit: Audit, key: Key) -> bool:
    """Whether gradients of the model that it attacks led an attack, and no check calls it weak."""
    dataset, source, _, attack = key
    probed = registry.attacks()[settings["method"]].probed
    led = needs_gradients(Instance(attack, attack, settings))
    return led and not audit.weak(dataset, source, attack, probed)


def references(target: Described) -> list[tuple[Reference, str]]:
    """(kind, name) of the models that a described one is compared with: its base, and its control where it has one."""
    if target["compression"] == "none":
        return []
    control = target["control"] not in ("", target["base"])
    return [(BASE, target["base"])] + [(CONTROL, target["control"])] * control


def comparisons(pairs: list[Pair], alpha: float) -> pd.DataFrame:
    """One row per pair: the 2 x 2 counts, compressed minus reference with Tango's interval, and P values.

    `p_mcnemar` is McNemar's, `p_holm` that after Holm's correction over all rows of a `family`.
    """
    rows = []
    for pair in pairs:
        reference, compressed = pair.reference_right[pair.scored], pair.compressed_right[pair.scored]
        counts = [
            reference & compressed,
            reference & ~compressed,
            ~reference & compressed,
            ~reference & ~compressed,
        ]
        counts = dict(zip(COUNTS, [len(reference), *(int(count.sum()) for count in counts)], strict=True))
        rows.append({**pair.columns, **counts, "family": pair.family})
    table = pd.DataFrame(rows)
    if table.empty:
        return COMPARISONS.frame(table)
    gained, lost, n = (table[key].to_numpy(float) for key in ("only_compressed_right", "only_reference_right", "n"))
    table["difference"] = (gained - lost) / n
    table["low"], table["high"] = tango(gained, lost, n, alpha)
    table["p_mcnemar"] = mcnemar(gained, lost)
    return adjusted(table, {"p_mcnemar": "p_holm"}, ["family"]).pipe(COMPARISONS.frame)


def adjusted(table: pd.DataFrame, columns: Mapping[str, str], by: Sequence[str]) -> pd.DataFrame:
    """The table with Holm's P values and the number of tests in each group of the columns `by`.

    Args:
        columns: P values -> their new names.
    """
    families = table.groupby(by, sort=False)
    table["family_size"] = families["family"].transform("size")
    for column, new in columns.items():
        table[new] = families[column].transform(holm)
    return table


def flips(pairs: list[Pair]) -> pd.DataFrame:
    """One row per pair: images right on the reference and wrong on the compressed model (`broken`) and the reverse.

    The first FLIPS_SHOWN of each are listed by their index in the test split.
    """
    rows = []
    for pair in pairs:
        broken = np.flatnonzero(pair.scored & (pair.difference < 0))
        mended = np.flatnonzero(pair.scored & (pair.difference > 0))
        found = {"n": int(pair.scored.sum()), "broken": len(broken), "mended": len(mended)}
        rows.append({**pair.columns, **found, "broken_examples": _first(broken), "mended_examples": _first(mended)})
    return FLIPS.frame(rows)


def _first(indices: np.ndarray) -> str:
    return " ".join(map(str, indices[:FLIPS_SHOWN]))
