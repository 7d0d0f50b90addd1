"""Compression in one or more steps, with training in between and after."""


def fractions(ratio, steps, schedule):
    """The removed fraction after each step: linear, or the same share of what is left at each (exponential)."""
    if schedule == "linear":
        return [ratio * step / steps for step in range(1, steps)] + [ratio]
    return [1 - (1 - ratio) ** (step / steps) for step in range(1, steps)] + [ratio]


def compress(model, shape, settings, train_on, images=None, seed=0):
    """Compress a model in place as a checked `compressions` entry says, at its one `ratio` or `bits`; return the masks.

    Args:
        model: the trained base model.
        shape: (C, H, W) of one image.
        settings: the entry (schemas/compression.yaml) with `ratio` or `bits` a single number.
        train_on: called as train_on(model, masks, stage) after every step; `stage` counts from 0, the last is the
            fine-tuning proper.
        images: uint8 training images that a quantization is calibrated on.
        seed: of the choice among them.

    Raises InputError where the ratio cannot be reached or nothing would be removed.
    """
    if settings["method"] == "quantization":
        from squeezeproof.compression.quantization import quantize

        quantize(model, shape, settings, images, seed)
        train_on(model, {}, 0)
        return {}
    return _prune(model, shape, settings, train_on)


def _prune(model, shape, settings, train_on):
    # torch-pruning takes seconds to import, which weight pruning and quantization need not pay.
    if settings["method"] == "filter":
        from squeezeproof.compression.filters import dense_sizes, prune_filters
    from squeezeproof.compression.weights import prune_weights

    dense = dense_sizes(model, shape) if settings["method"] == "filter" else None
    masks = {}
    for stage, fraction in enumerate(fractions(settings["ratio"], settings["steps"], settings["schedule"])):
        final = stage == settings["steps"] - 1
        if settings["method"] == "filter":
            options = {key: settings[key] for key in ("importance", "scope", "measure")}
            prune_filters(model, shape, dense, fraction, **options, final=final)
        else:
            masks = prune_weights(model, fraction, scope=settings["scope"])
        train_on(model, masks, stage)
    return masks
