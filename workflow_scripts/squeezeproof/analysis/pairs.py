"""Every compressed model paired with its base, image by image, from stored predictions; no torch in memory."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET
from squeezeproof.audit.findings import NOTHING_FOUND
from squeezeproof.errors import InputError
from squeezeproof.statistics.multiplicity import holm
from squeezeproof.statistics.paired import mcnemar, tango
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.tables.catalog import COMPARISONS, FLIPS

SAME_SOURCE, WHITE_BOX = "same-source", "white-box"
UNIQUE = ["dataset", "target", "source", "comparison", "attack"]
COUNTS = ["n", "both_right", "only_base_right", "only_compressed_right", "both_wrong"]
FLIPS_SHOWN = 20


@dataclass(frozen=True)
class Pair:
    """A compressed model and its base under one attack.

    Attributes:
        target, source: descriptions (`Study.describe`) of the compressed model and of the model attacked; under the
            comparison `white-box` that is the target, and the base faces the images crafted on itself.
        comparison: `same-source` or `white-box`.
        attack, settings: the attack instance's name; its entry, method, norm and eps.
        base_right, compressed_right, scored: bool [N]; images that are not scored on both are in neither's count.
    """

    target: dict
    source: dict
    comparison: str
    attack: str
    settings: dict
    base_right: np.ndarray
    compressed_right: np.ndarray
    scored: np.ndarray

    @property
    def difference(self):
        """Compressed minus base, int8 [N] in {-1, 0, 1}, to be read where `scored`."""
        return self.compressed_right.astype(np.int8) - self.base_right.astype(np.int8)

    @property
    def columns(self):
        """The columns that tell which pair it is."""
        return {
            "dataset": self.target["dataset"],
            "target": self.target["name"],
            "target_base": self.target["base"],
            "source": self.source["name"],
            "comparison": self.comparison,
            "attack": self.attack,
            **self.settings,
            "seed": self.target["seed"],
        }

    @property
    def family(self):
        """Tests that answer one question together: all of a data set and attack method, whatever eps and model."""
        return f"{self.target['dataset']}/{self.settings['method']}"


def read_pairs(paths, descriptions, audit=NOTHING_FOUND):
    """Every pair of a compressed model and its base that the predictions files hold, sorted by the columns UNIQUE.

    Args:
        paths: predictions files.
        descriptions: of every model they name (`Study.describe`).
        audit: the Audit of the study; cells that failed are left out.

    Raises InputError where files of one data set were made from different test images.
    """
    models = {(description["dataset"], description["name"]): description for description in descriptions}
    outcomes, images = {}, {}
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset, target, source = (metadata[key] for key in ("dataset", "target", "source"))
        if audit.failed(dataset, source, target, CLEAN):
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
            judged = predicted == labels, predicted != NOT_SCORED, {key: settings[key] for key in BUDGET}
            outcomes[dataset, target, source, attack] = judged
    pairs = []
    for (dataset, name, source, attack), (right, scored, settings) in outcomes.items():
        target = models[dataset, name]
        against = [(SAME_SOURCE, source)] + [(WHITE_BOX, target["base"])] * (source == name)
        for comparison, base_source in against if target["compression"] != "none" else ():
            base = outcomes.get((dataset, target["base"], base_source, attack))
            if base is not None:
                scored_on_both = scored & base[1]
                about = (target, models[dataset, source], comparison, attack, settings)
                pairs.append(Pair(*about, base[0], right, scored_on_both))
    return sorted(pairs, key=lambda pair: [pair.columns[key] for key in UNIQUE])


def comparisons(pairs, alpha):
    """One row per pair: the 2 x 2 counts, compressed minus base with Tango's interval, McNemar's and Holm's P value.

    Holm's correction runs over all rows of a `family`, the data set and the attack's method.
    """
    rows = []
    for pair in pairs:
        base, compressed = pair.base_right[pair.scored], pair.compressed_right[pair.scored]
        counts = [base & compressed, base & ~compressed, ~base & compressed, ~base & ~compressed]
        counts = dict(zip(COUNTS, [len(base), *(int(count.sum()) for count in counts)], strict=True))
        rows.append({**pair.columns, **counts, "family": pair.family})
    table = pd.DataFrame(rows)
    if table.empty:
        return COMPARISONS.frame(table)
    gained, lost, n = (table[key].to_numpy(float) for key in ("only_compressed_right", "only_base_right", "n"))
    table["difference"] = (gained - lost) / n
    table["low"], table["high"] = tango(gained, lost, n, alpha)
    table["p_mcnemar"] = mcnemar(gained, lost)
    return adjusted(table, {"p_mcnemar": "p_holm"}).pipe(COMPARISONS.frame)


def adjusted(table, columns):
    """The table with Holm's P values per `family` and the family's size; `columns` maps P values to their new names."""
    families = table.groupby("family", sort=False)
    table["family_size"] = families["family"].transform("size")
    for column, new in columns.items():
        table[new] = families[column].transform(holm)
    return table


def flips(pairs):
    """One row per pair: images right on the base and wrong on the compressed model (`broken`) and the reverse.

    The first FLIPS_SHOWN of each are listed by their index in the test split.
    """
    rows = []
    for pair in pairs:
        broken = np.flatnonzero(pair.scored & (pair.difference < 0))
        mended = np.flatnonzero(pair.scored & (pair.difference > 0))
        found = {"n": int(pair.scored.sum()), "broken": len(broken), "mended": len(mended)}
        rows.append({**pair.columns, **found, "broken_examples": _first(broken), "mended_examples": _first(mended)})
    return FLIPS.frame(rows)


def _first(indices):
    return " ".join(map(str, indices[:FLIPS_SHOWN]))
