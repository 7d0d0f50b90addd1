"""What a model takes beside its base, in rows of text."""

from collections.abc import Mapping

ABSENT = "–"
COUNTS = {
    "parameters": "parameters",
    "macs": "multiply-accumulates per image",
    "packed_bytes": "bytes, zeros and low bits packed",
}
FEW = 0.1


def sizes(base: Mapping[str, int], compressed: Mapping[str, int]) -> list[list[str]]:
    """Rows of what it is, the base, the compressed model, and the share that is left of it.

    Args:
        base, compressed: of `models.measure.measure`.
    """
    rows = [
        [words, *(f"{one[key]:,}" for one in (base, compressed)), _share(compressed[key], base[key])]
        for key, words in COUNTS.items()
    ]
    zeros = [_share(one["parameters"] - one["nonzeros"], one["parameters"]) for one in (base, compressed)]
    bits = [one["weight_bits"] / one["weights"] if one["weights"] else None for one in (base, compressed)]
    rows.insert(1, ["of these zero", *zeros, ""])
    left = _share(bits[1], bits[0]) if bits[0] and bits[1] else ABSENT
    rows.insert(2, ["bits of a weight", *(ABSENT if one is None else f"{one:.3g}" for one in bits), left])
    return rows


def _share(part: float, whole: float) -> str:
    """A share in per cent; one that is not 0 does not look like it."""
    if not whole:
        return ABSENT
    percent = 100 * part / whole
    return f"under {FEW} %" if 0 < percent < FEW else f"{percent:.1f} %"
