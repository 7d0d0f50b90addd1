"""The tables of adversarial sets: what they cost, and what is left after every attack of a suite."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.entries import registry
from squeezeproof.store import adversarial, made_with
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.catalog.accuracy import STAGES
from squeezeproof.tables.catalog.costs import CRAFTING, LIBRARY_ATTACKS
from squeezeproof.types import SetMetadata

# Column -> what a set's metadata call it.
NOTES = {
    **{"returned_clean": "clean", "outside": "outside", "compared": "again", "other_points": "other_points"},
    **{"other_outcomes": "other_outcomes", "reseeded": "reseeded", "mode_changed": "mode_changed"},
    "ended": "ended_by_queries",
}


def crafting_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """What every adversarial set cost and achieved on its own source."""
    rows = []
    for metadata in map(_set_metadata, sorted(map(str, paths))):
        settings = metadata["settings"]
        rows.append(
            {
                **{key: metadata[key] for key in ("dataset", "source", "attack", "entry")},
                **{key: settings[key] for key in ("method", "norm", "eps", "stop_on_success", "stored")},
                "targeted": settings.get("targeted") or "",
                **{key: metadata[key] for key in ("successes", "forwards_per_example", "backwards_per_example")},
                "zero_gradients": metadata["zero_gradients"],
                "float_successes": metadata.get("float_successes"),
                "queries": metadata.get("queries"),
                "seconds": round(metadata["seconds"], 3),
                "device": metadata["device"],
                "made_with": made_with.recorded(metadata),
            }
        )
    return CRAFTING.frame(rows).astype({"float_successes": "Int64", "queries": "Int64"})


def library_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """What the attacks of other libraries in some sets did beside what they are for (attacks.library)."""
    rows = []
    for metadata in map(_set_metadata, sorted(map(str, paths))):
        settings, stages = metadata["settings"], metadata["stages"]
        notes = sum((Counter(stage.get("notes", {})) for stage in stages), Counter())
        rows.append(
            {
                **{key: metadata[key] for key in ("dataset", "source", "attack", "entry")},
                **{key: settings[key] for key in ("method", "norm", "eps")},
                "attacked": sum(stage["attacked"] for stage in stages if "notes" in stage),
                **{column: notes[key] for column, key in NOTES.items()},
                "failed": metadata.get("failed", ""),
            }
        )
    return LIBRARY_ATTACKS.frame(rows)


def stages_table(paths: Iterable[str | Path], audit: Audit = NOTHING_FOUND) -> pd.DataFrame:
    """The cumulative robust accuracy of every suite on its own source, one row per attack of the sequence.

    Suites that failed the audit are left out.
    """
    rows = []
    for metadata in map(_set_metadata, sorted(map(str, paths))):
        if audit.failed(metadata["dataset"], metadata["source"], metadata["source"], metadata["attack"]):
            continue
        settings = metadata["settings"]
        sequence = registry.attacks()[settings["method"]].sequence(settings)
        for order, (stage, asked) in enumerate(zip(metadata["stages"], sequence, strict=True), start=1):
            rows.append(
                {
                    **{key: metadata[key] for key in ("dataset", "source", "attack", "entry")},
                    "suite": settings["method"],
                    "eps": settings["eps"],
                    "order": order,
                    **{key: stage[key] for key in ("method", "loss", "attacked", "standing")},
                    "gradient": asked.get("gradient", ""),
                    "n": metadata["n"],
                }
            )
    return STAGES.frame(rows)


def _set_metadata(path: str | Path) -> SetMetadata:
    return read_metadata(path, adversarial.KIND)
