"""The tables of adversarial sets: what they cost, and what is left after every attack of a suite."""

from squeezeproof.audit.findings import NOTHING_FOUND
from squeezeproof.entries import registry
from squeezeproof.store import adversarial
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.catalog import CRAFTING, STAGES


def crafting_table(paths):
    """What every adversarial set cost and achieved on its own source."""
    rows = []
    for metadata in map(_set_metadata, sorted(map(str, paths))):
        settings = metadata["settings"]
        rows.append(
            {
                **{key: metadata[key] for key in ("dataset", "source", "attack", "entry")},
                **{key: settings[key] for key in ("method", "norm", "eps", "stop_on_success", "stored")},
                **{key: metadata[key] for key in ("successes", "forwards_per_example", "backwards_per_example")},
                "zero_gradients": metadata["zero_gradients"],
                "float_successes": metadata.get("float_successes"),
                "queries": metadata.get("queries"),
                "seconds": round(metadata["seconds"], 3),
                "device": metadata["device"],
            }
        )
    return CRAFTING.frame(rows).astype({"float_successes": "Int64", "queries": "Int64"})


def stages_table(paths, audit=NOTHING_FOUND):
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


def _set_metadata(path):
    return read_metadata(path, adversarial.KIND)
