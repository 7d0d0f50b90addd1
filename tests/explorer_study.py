"""A study for the explorer page without a single model: invented tables and images, of any size and any names."""

from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
from conftest import ROOT
from table_examples import whole

from squeezeproof.analysis import accuracy as tables
from squeezeproof.analysis.verdicts import sentence
from squeezeproof.pages.explorer import explorer_page
from squeezeproof.pages.explorer_data import TABLES
from squeezeproof.statistics.crossed import About
from squeezeproof.statistics.intervals import wilson
from squeezeproof.store.tensors import write_tensors
from squeezeproof.tables.catalog.whole import TABLES as TABLES_OF
from squeezeproof.tables.files import read_table, write_table
from squeezeproof.tables.words import Verdict

TEMPLATES = [
    ROOT / "report" / "explorer" / name
    for name in (
        "page.html", "style.css", "data.js", "matrix.js", "facts.js", "charts.js", "images.js", "table.js", "page.js",
    )
]  # fmt: skip
QUESTION = "Does it hold?"
STATISTICS = {"alpha": 0.05, "margin": 0.02}


class ExplorerStudy:
    """The files that the explorer is made from, in a folder.

    Args:
        folder: where they are written.
        architectures, levels, attacks, eps, seeds: what is crossed; every model attacks every other of its seed. An eps
            may be a fraction as in names, `8of255`.
        shape: of an image.
        n: test images that the tables count; the splits themselves hold 8.
        classes: names of the data set's classes.
    """

    def __init__(
        self, folder, architectures=("cnn3",), levels=(("weight", 0.5), ("weight", 0.9)), attacks=("fgsm", "pgd"),
        eps=(0.1, 0.2), seeds=(0,), shape=(1, 6, 6), n=300, classes=("zero", "one", "two", "three"),
    ):  # fmt: skip
        self.folder, self.n, self.shape, self.classes = folder, n, shape, list(classes)
        self.rng = np.random.default_rng(0)
        variants = [("none", 0.0), *levels]
        self.models = [_describe(*axes) for axes in product(architectures, variants, seeds)]
        self.attacks = {
            f"{name}-eps{value}": {
                "entry": name,
                "method": name,
                "norm": "linf",
                "eps": float(Fraction(str(value).replace("of", "/"))),
            }
            for name, value in product(attacks, eps)
        }
        self.labels = np.arange(8) % len(self.classes)
        self.images = self.rng.integers(0, 256, (8, *shape), np.uint8)
        self.cells = self._cells()
        self._write_tables()
        self._write_tensors()

    @property
    def paths(self):
        return {name: self.folder / f"{name}.csv" for name in TABLES}

    def table(self, name):
        return read_table(self.paths[name])

    @property
    def tables(self):
        return {name: self.table(name) for name in TABLES}

    def page(self, question=QUESTION, study="invented"):
        """The page as text."""
        sets, scored = (sorted(self.folder.glob(f"{kind}.*.safetensors")) for kind in ("set", "predictions"))
        tests = {"digits": self.folder / "test.safetensors"}
        return explorer_page(self.tables, TEMPLATES, tests, sets, scored, study, question)

    def _cells(self):
        rows = []
        for source, target in product(self.models, self.models):
            if source["seed"] != target["seed"]:
                continue
            for attack, settings in {"clean": tables.UNATTACKED, **self.attacks}.items():
                rows.append(
                    {
                        "dataset": "digits",
                        **{f"target_{axis}": target[axis] for axis in [*tables.MODEL, "seed", "base"]},
                        **{f"source_{axis}": source[axis] for axis in [*tables.MODEL, "seed", "variant"]},
                        **{"source": source["name"], "target": target["name"], "attack": attack, **settings},
                        "threat": "white-box" if source is target else "transfer",
                        **{"n": self.n, "correct": int(self.rng.integers(self.n + 1)), "warnings": ""},
                    }
                )
        cells = pd.DataFrame(rows).sort_values(["source", "target", "attack"], ignore_index=True)
        clean = cells["attack"] == "clean"
        cells.loc[clean, "correct"] = cells[clean].groupby("target")["correct"].transform("first")
        cells.loc[cells.index[~clean][1], "warnings"] = "14"
        cells["accuracy"] = cells["correct"] / cells["n"]
        cells["low"], cells["high"] = wilson(cells["correct"], cells["n"])
        return cells

    def _write_tables(self):
        runs = tables.robust_accuracy(self.cells)
        compared = self.cells[(self.cells["attack"] != "clean") & (self.cells["target_compression"] != "none")]
        verdicts, flips, deltas = zip(*(self._compared(row) for row in compared.itertuples()), strict=True)
        verdicts = pd.DataFrame(verdicts).drop_duplicates([*VERDICT_KEY, "ratio"])
        warned = runs[runs["warnings"] != ""].iloc[0]
        finding = {key: warned[key] for key in ("dataset", "source", "target", "attack")}
        finding |= {"check": 14, "name": "white-box at least as strong as transfer", "value": "0.5", "threshold": "0.4"}
        effects = verdicts.rename(columns={"difference": "total"}).assign(by_training=-0.0123, by_compression=0.0456)
        effects = effects.assign(by_training_low=-0.02, by_compression_high=0.3)
        keep = [column.name for column in TABLES_OF["effects"].columns if column.name in effects]
        written = {
            "effects": effects[keep],
            "over_seeds": tables.over_seeds(self.cells),
            "robust_accuracy": runs,
            "clean_accuracy": tables.clean_accuracy(self.cells),
            "verdicts": verdicts,
            "flips": pd.DataFrame(flips),
            "max_delta": pd.DataFrame(deltas).drop_duplicates(VERDICT_KEY),
            "audit": pd.DataFrame([{**finding, "verdict": "warning", "message": "transfer breaks more"}]),
            "compression": pd.DataFrame([_sizes(model) for model in self.models]),
        }
        for name, table in written.items():
            write_table(self.paths[name], whole(name, table))

    def _compared(self, row):
        difference, broken = round(float(self.rng.uniform(-0.3, 0.3)), 6), int(self.rng.integers(20))
        bounds = {"low": difference - 0.123456, "high": difference + 0.123456}
        about = {"dataset": "digits", **{axis: getattr(row, f"target_{axis}") for axis in tables.MODEL}}
        about |= {"comparison": "same-source", "source": row.source_variant, "seed_relation": "same"}
        about |= {f"source_{axis}": getattr(row, f"source_{axis}") for axis in tables.MODEL}
        about |= {"attack": row.attack, "entry": row.entry, "method": row.method, "norm": row.norm, "eps": row.eps}
        found = Verdict.MORE if difference > 0 else Verdict.LESS
        if bounds["low"] < 0 < bounds["high"]:
            found = Verdict.NOT_SHOWN
        said = {**about, "verdict": found, "difference": difference, **bounds, "seeds": 1, "n": self.n, "favours": ""}
        said |= {"about": About.MODELS, "against": "base", "isolates_compression": False, "detectable": 0.05}
        said |= {"clean_difference": -0.01, "both_right": 0.9, "difference_both_right": difference}
        said |= {"explained_by": "robustness", "p_difference_holm": 0.5}
        verdict = {
            **said,
            "sentence": sentence(SimpleNamespace(**said, led=True, kept=0.5, family_size=12), STATISTICS),
        }
        flip = {"dataset": "digits", "target": row.target, "source": row.source, "comparison": "same-source"}
        flip |= {
            "against": "base",
            "attack": row.attack,
            "seed": row.target_seed,
            "n": self.n,
            "broken": broken,
            "mended": 3,
        }
        flip |= {"broken_examples": "1 2", "mended_examples": "4"}
        delta = {key: value for key, value in about.items() if key not in ("ratio", "bits")}
        delta |= {"about": About.MODELS, "against": "base"}
        delta |= {"levels": 2, "base_accuracy": 0.5, "max_delta": 0.1, "max_delta_ratio": 0.5, "max_delta_bits": 32}
        delta |= {
            "largest_delta": difference,
            "largest_delta_ratio": 0.5,
            "largest_delta_bits": 32,
            **bounds,
            "seeds": 1,
            "n": self.n,
            "warned": "",
        }
        return verdict, flip, delta

    def _write_tensors(self):
        self._save("test", {"images": self.images, "labels": self.labels}, {"kind": "dataset", "classes": self.classes})
        for place, source in enumerate(self.models):
            for attack in self.attacks:
                shift = self.rng.uniform(-0.1, 0.1, self.images.shape)
                arrays = {"adversarial": np.clip(self.images / 255 + shift, 0, 1).astype(np.float32)}
                arrays["predictions"] = self._guess()
                metadata = {"kind": "adversarial", "dataset": "digits", "source": source["name"], "attack": attack}
                self._save(f"set.{place}.{attack}", arrays, metadata)
            for other, target in enumerate(self.models):
                arrays = {f"prediction:{name}": self._guess() for name in ("clean", *self.attacks)}
                names = {"dataset": "digits", "source": source["name"], "target": target["name"]}
                self._save(f"predictions.{place}.{other}", arrays, {"kind": "predictions", **names})

    def _guess(self):
        return self.rng.permutation(self.labels).astype(np.int32)

    def _save(self, name, arrays, metadata):
        write_tensors(self.folder / f"{name}.safetensors", arrays, metadata)


VERDICT_KEY = [
    "dataset", "architecture", "training", "compression", "finetuning", "comparison", "source", "seed_relation",
    "attack",
]  # fmt: skip


def _describe(architecture, variant, seed):
    compression, ratio = variant
    base = f"{architecture}.standard.none.none.s{seed}"
    name = base if compression == "none" else f"{architecture}.standard.{compression}-{100 * ratio:g}.standard.s{seed}"
    finetuning = "none" if compression == "none" else "standard"
    axes = {
        "architecture": architecture,
        "training": "standard",
        "compression": compression,
        "ratio": ratio,
        "bits": 32,
    }
    names = {"name": name, "variant": name.removesuffix(f".s{seed}"), "base": base}
    return {"dataset": "digits", **names, **axes, "finetuning": finetuning, "seed": seed}


def _sizes(model):
    kept = round(1000 * (1 - model["ratio"]))
    sizes = {"parameters": 1000, "nonzeros": kept, "macs": 123456, "bytes": 4000, "packed_bytes": 4 * kept}
    about = {key: value for key, value in model.items() if key not in ("name", "base")}
    return {"model": model["name"], **about, "activation_bits": 32, **sizes, "filters": "32-64-64"}
