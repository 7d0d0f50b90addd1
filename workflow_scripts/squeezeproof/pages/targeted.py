"""What targeted attacks reached, in words that claim no robust accuracy."""

import pandas as pd

from squeezeproof.analysis.names import attack_displays
from squeezeproof.tables.words import Threat

SHOWN = 12


def targeted_sentences(table: pd.DataFrame) -> list[str]:
    """A sentence for every model under every targeted attack on itself, the highest success rates first.

    Args:
        table: the table `targeted`.
    """
    own = table[table["threat"] == Threat.WHITE_BOX].sort_values("success_rate", ascending=False, kind="stable")
    names = attack_displays(table)
    told = []
    for row in own.itertuples():
        base = f" (its base: {100 * row.base_rate:.1f} %)" if row.base_rate == row.base_rate else ""
        told.append(
            f"{row.target} ({row.dataset}) under {names[row.attack]}, targeted ({row.targeted}): "
            f"{100 * row.success_rate:.1f} % of {row.n} images reach their class "
            f"[{100 * row.low:.1f}, {100 * row.high:.1f}]{base}, {100 * row.clean_rate:.1f} % before the attack."
        )
    return [*told[:SHOWN], *([f"and {len(told) - SHOWN} more in tables/targeted.csv"] if len(told) > SHOWN else [])]
