"""Every table of a study and every column of it. A new column is one line here, and a value where its rows are made.

docs/tables.md and the captions of the report are written from this by `make reference`.
"""

from squeezeproof.tables.catalog.accuracy import (
    CLEAN_ACCURACY,
    OVER_SEEDS,
    ROBUST_ACCURACY,
    STAGES,
    SWEEPS,
    TARGETED_ATTACKS,
)
from squeezeproof.tables.catalog.checks import AUDIT, UNSUPPORTED
from squeezeproof.tables.catalog.comparisons import (
    ANSWERS,
    CLEAN_DIFFERENCES,
    COMPARISONS,
    EFFECTS,
    FLIPS,
    MAX_DELTA,
    SELECTED,
    SWEEP_DIFFERENCES,
    VERDICTS,
)
from squeezeproof.tables.catalog.costs import (
    COMPRESSION,
    CRAFTING,
    DEPLOYED,
    EFFICIENCY,
    LATENCY,
    LIBRARY_ATTACKS,
    SPEEDUPS,
)
from squeezeproof.tables.catalog.papers import (
    PUBLISHED,
    WIDE_ATTACKS,
    WIDE_MODELS,
    WIDE_STAGES,
)

TABLES = {
    table.name: table
    for table in (
        CLEAN_ACCURACY, ROBUST_ACCURACY, OVER_SEEDS, TARGETED_ATTACKS, SWEEPS, STAGES, ANSWERS, COMPARISONS, VERDICTS,
        EFFECTS, MAX_DELTA, FLIPS, CLEAN_DIFFERENCES, SWEEP_DIFFERENCES, SELECTED, COMPRESSION, CRAFTING,
        LIBRARY_ATTACKS, EFFICIENCY, LATENCY, SPEEDUPS, DEPLOYED, UNSUPPORTED, AUDIT, PUBLISHED, WIDE_MODELS,
        WIDE_ATTACKS, WIDE_STAGES,
    )
}  # fmt: skip
