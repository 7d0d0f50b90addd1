"""Compression in one or more steps, with training in between and after."""

import torch

from squeezeproof.seeds import derive_seed
from squeezeproof.training.schedules import fractions

WEIGHT_OPTIONS = ("scope", "importance", "funnel_slope")
FILTER_OPTIONS = ("scope", "importance", "measure", "max_layer_ratio")


def compress(model, shape, settings, train_on, images=None, labels=None, seed=0, masks=None, initial=None):
    """Compress a model in place as a checked `compressions` entry says, at its one `ratio` or `bits`; return the masks.

    Args:
        model: the trained base model, or the pruned one that is quantized.
        shape: (C, H, W) of one image.
        settings: the entry (squeezeproof.entries) with `ratio` or `bits` a single number.
        train_on: called as train_on(model, masks, stage) after every step; `stage` counts from 0, the last is the
            fine-tuning proper.
        images, labels: the training images, uint8, and their classes: a quantization is calibrated on some of them,
            and `importance: taylor` takes gradients on some.
        seed: of the choice among them and of random importances.
        masks: of a pruned model, which a quantization keeps.
        initial: of `rewind` and `start: scratch`, called for the base model as it was before its training.

    Raises InputError where the ratio cannot be reached or nothing would be removed.
    """
    if settings["method"] == "quantization":
        from squeezeproof.compression.quantization import quantize

        quantize(model, shape, settings, images, seed)
        train_on(model, masks or {}, 0)
        return masks or {}
    if settings["method"] == "admm":
        return _train_sparse(model, shape, settings, train_on, initial)
    return _prune(model, shape, settings, train_on, (images, labels), seed, initial)


def _train_sparse(model, shape, settings, train_on, initial):
    from squeezeproof.compression.constraint import constraint
    from squeezeproof.compression.weights import prunable
    from squeezeproof.training.admm import Admm

    if settings["start"] == "scratch":
        model.load_state_dict(initial().state_dict())
    weights = prunable(model, shape)
    project = constraint(settings)
    if settings["scope"] == "funnel":
        # Its sizes depend on no weight: what cannot be is said before hours of training.
        project(weights, settings["ratio"])
    solver = Admm(weights, project, settings)
    train_on(model, {}, 0, solver)
    return solver.masks


def _prune(model, shape, settings, train_on, train, seed, initial):
    remove = (_filter_pruner if settings["method"] == "filter" else _weight_pruner)(model, shape, settings, train)
    untrained = initial() if settings.get("rewind") else None
    masks = {}
    for stage, fraction in enumerate(fractions(settings["ratio"], settings["steps"], settings["schedule"])):
        final = stage == settings["steps"] - 1
        masks = remove(untrained, fraction, derive_seed(seed, "pruning", stage), final)
        if untrained is not None:
            rewind(model, masks, untrained)
        train_on(model, masks, stage)
    return masks


def rewind(model, masks, untrained):
    """Give a pruned model the tensors of the untrained one in place, zero where masked [frankle2019].

    Biases and batch normalisation, its statistics included, go back too. An `untrained` model of pruned filters has
    lost the same ones.
    """
    model.load_state_dict(untrained.state_dict())
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)


def _weight_pruner(model, shape, settings, train):
    from squeezeproof.compression.weights import prune_weights

    options = {key: settings[key] for key in WEIGHT_OPTIONS if key in settings}
    return lambda untrained, fraction, seed, final: prune_weights(
        model, fraction, **options, seed=seed, shape=shape, final=final
    )


def _filter_pruner(model, shape, settings, train):
    # torch-pruning takes seconds to import, which weight pruning and quantization need not pay.
    from squeezeproof.compression.filters import dense_sizes, prune_filters
    from squeezeproof.compression.groups import remove_filters

    dense = dense_sizes(model, shape)
    options = {key: settings[key] for key in FILTER_OPTIONS if key in settings}

    def remove(untrained, fraction, seed, final):
        sample = _draw(train, settings["taylor_images"], seed) if settings["importance"] == "taylor" else None
        chosen = prune_filters(model, shape, dense, fraction, **options, sample=sample, seed=seed, final=final)
        if untrained is not None:
            remove_filters(untrained, shape, chosen)
        return {}

    return remove


def _draw(train, count, seed):
    """(images, labels) of `count` random examples, or of all where there are fewer."""
    images, labels = train
    generator = torch.Generator().manual_seed(derive_seed(seed, "taylor"))
    chosen = torch.randperm(len(labels), generator=generator)[:count]
    return images[chosen], labels[chosen]
