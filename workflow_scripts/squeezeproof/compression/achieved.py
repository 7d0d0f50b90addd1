"""What a compression achieved beside what was asked of it, measured on the model that came of it."""

from typing import Any

# Whole filters and whole weights are rounded to within a point.
TOLERANCE = 0.01
# Beyond this a ratio in a table would be another model's.
FAR = 0.05


def achieved(settings: dict[str, Any], size: dict[str, Any], dense: dict[str, Any]) -> dict[str, Any] | None:
    """`asked` and `achieved` shares of a compressed model, what they are shares `of`, and how far rounding may take
    them apart, `tolerance`; None for a method that says nothing of it.

    Args:
        settings: a checked `compressions` entry at one ratio or bit width.
        size, dense: what `models.measure.measure` says of the model and of its dense base.
    """
    match settings["method"]:
        case "weight" | "admm":
            share, of = size["zero_weights"] / size["weights"], "weights in use that are zero"
            return {"asked": settings["ratio"], "achieved": share, "of": of, "tolerance": TOLERANCE}
        case "filter":
            measure = settings["measure"]
            tolerance = TOLERANCE
            if settings["multiple_of"] > 1:
                tolerance = FAR
            elif measure == "channels" and settings["scope"] == "layer":
                # Every layer rounds its share to whole filters, and the layer of the classes keeps all.
                tolerance += dense["convolutions"] / 2 / dense["channels"]
            share, of = 1 - size[measure] / dense[measure], f"{measure} removed"
            return {"asked": settings["ratio"], "achieved": share, "of": of, "tolerance": tolerance}
        case "quantization":
            share = size["quantized_weights"] / size["weights"]
            return {"asked": 1.0, "achieved": share, "of": "weights in use that are quantized", "tolerance": 0.0}
    return None
