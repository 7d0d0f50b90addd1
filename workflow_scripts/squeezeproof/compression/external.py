"""Models that were compressed elsewhere, read from a file; `compared` tells whether they are read rightly."""

import re
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from squeezeproof.checked import ArchitectureSettings, ExternalSettings
from squeezeproof.errors import InputError, NotSupported, pass_on
from squeezeproof.models.build import build, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.foreign import FORMATS, open_file, open_format
from squeezeproof.models.moments import moments
from squeezeproof.models.own_pixels import alike, another, normalization_in
from squeezeproof.models.state_dicts import fitted
from squeezeproof.models.takes import Takes, by_input, by_weights, for_compressed, unlike
from squeezeproof.store.converted import notes_in
from squeezeproof.store.tensors import read_foreign
from squeezeproof.types import DatasetMetadata, Masks, Specification

# Share of zeros in a weight from which a bit per position and the non-zeros are smaller.
PACKED = 1 / 32


def read_external(
    path: str | Path, settings: ExternalSettings, base: Specification, dataset: DatasetMetadata
) -> tuple[nn.Module, Specification, Masks, list[str]]:
    """The model of a user's file.

    Args:
        path: the file.
        settings: the checked entry of `compressions`.
        base: the specification of the base.
        dataset: metadata of a prepared split.

    Returns (the model in eval mode, its specification, its masks, what was understood in words). Raises InputError
    where the file does not fit the network, or the network the data set.
    """
    if Path(path).suffix in FORMATS:
        return _deployed(path, settings, base, dataset)
    spec: Specification = base if settings["architecture"] is None else specification(settings["architecture"], dataset)
    if settings["normalization"] is not None:
        mean, std = moments(settings["normalization"], dataset)
        spec = {**spec, "mean": mean, "std": std}
    model = build(spec, seed=0).eval()
    own, given = normalization_in(path), (spec["mean"], spec["std"])
    if own is not None and not alike(own, given):
        raise another(path, own, given, "write the `normalization` of its entry that gives what the file says")
    notes = _load(path, model, spec, dataset)
    return model, spec, zeros_as_masks(model), notes


def _load(path: str | Path, model: nn.Module, spec: Specification, dataset: DatasetMetadata) -> list[str]:
    """Load the weights of a file into a model, whose layers get their sizes; what was done, in words.

    Raises InputError where they do not fit, or the model does not map images of the data set to its classes.
    """
    network = model.get_submodule("network")
    dense = dict(network.state_dict())
    try:
        notes = [*notes_in(path), *load_weights(model, path, resize=True)]
        _try(path, model, spec, dataset)
    except InputError as error:
        tensors, _ = fitted(read_foreign(path, framework="pt"), dense.keys())
        raise _unfit(path, by_weights(tensors, dense, dataset), dataset) or error from None
    return notes


def _try(path: str | Path, model: nn.Module, spec: Specification, dataset: DatasetMetadata) -> None:
    """InputError where a model with its weights does not map images of a data set to its classes."""
    shape = (2, *dataset["shape"])
    try:
        with torch.no_grad():
            logits = model(torch.zeros(shape))
    except Exception as error:
        pass_on(error)
        # What the weights make of the network's layers may fail in any way.
        raise InputError(
            f"{path}: with its weights the network fails on images {shape} ({type(error).__name__}: {error}); it is of "
            f"images of another size, or of a network whose own code architecture: {{kind: custom, factory: ...}} has "
            f"to name"
        ) from error
    if logits.shape != (2, spec["num_classes"]):
        raise InputError(f"{path}: tells {logits.shape[-1]} classes apart, the data set has {spec['num_classes']}")


def _unfit(path: str | Path, takes: Takes, dataset: DatasetMetadata) -> InputError | None:
    """That a file does not take the images of a data set, where that can be told."""
    words = unlike(takes, dataset)
    return InputError(f"{path}: {words}; {for_compressed(takes, dataset)}") if words else None


def _deployed(
    path: str | Path, settings: ExternalSettings, base: Specification, dataset: DatasetMetadata
) -> tuple[nn.Module, Specification, Masks, list[str]]:
    """The same of a file that holds its network."""
    mean, std = moments(settings["normalization"], dataset) if settings["normalization"] else (None, None)
    options = {key: settings[key] for key in ("channels", "layout", "outputs", "output")}
    try:
        model = open_file(path, shape=dataset["shape"], classes=len(dataset["classes"]), mean=mean, std=std, **options)
    except InputError as error:
        unlike_images = None
        with suppress(InputError, OSError):
            unlike_images = _unfit_file(path, settings["output"], dataset)
        raise unlike_images or _not_run(path, error) or error from None
    mean, std = (getattr(model.normalize, key).flatten().tolist() for key in ("mean", "std"))
    spec: Specification = {**base, "architecture": model.network.reading, "mean": mean, "std": std}
    return model, spec, {}, model.notes


def _not_run(path: str | Path, error: InputError) -> InputError | None:
    """That ONNX Runtime lacks the form in which a file is quantized, where its message says that."""
    lacking = re.search(r"Failed to find kernel for com\.microsoft\.(Q\w+)", str(error))
    return lacking and InputError(
        f"{path}: is quantized in operators ({lacking[1]}) that this ONNX Runtime does not run in these types; "
        f"quantize it by quant_format=QuantFormat.QDQ, or with activation_type=QuantType.QUInt8"
    )


def _unfit_file(path: str | Path, output: str | None, dataset: DatasetMetadata) -> InputError | None:
    """That a file which holds its network does not take the images of a data set; InputError where it is unreadable."""
    opened = open_format(Path(path).suffix, Path(path).read_bytes(), path)
    outputs = {name: shape for name, shape in opened.outputs.items() if output in (None, name)}
    return _unfit(path, by_input(opened.shape, outputs, dataset), dataset)


def unfit(
    path: str | Path, settings: ExternalSettings, base: ArchitectureSettings, dataset: DatasetMetadata
) -> InputError | None:
    """Why a file can be no compressed model of a study, as far as it tells without the images.

    Args:
        path, settings: as for `read_external`.
        base: the checked entry of `architectures` that its base is built by.
        dataset: with the shape and the classes of the images; nothing else of it counts.
    """
    try:
        if Path(path).suffix in FORMATS:
            return _unfit_file(path, settings["output"], dataset)
        spec = specification(settings["architecture"] or base, dataset)
        _load(path, build(spec, seed=0).eval(), spec, dataset)
    except NotSupported:
        # A job says so in a marker.
        return None
    except InputError as error:
        return _not_run(path, error) or error
    return None


def zeros_as_masks(model: nn.Module) -> Masks:
    """Parameter name -> bool tensor, False where a weight is zero, of weights that pay to be packed."""
    weights = {name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1}
    masks = {name: weight.detach() != 0 for name, weight in weights.items()}
    return {name: mask for name, mask in masks.items() if (~mask).float().mean() > PACKED}


def as_its_base(path: str | Path, settings: ExternalSettings) -> bool:
    """Whether a file is a checkpoint of the base's own network, of whose reading nothing is open: it is the base's."""
    return settings["architecture"] is None and settings["normalization"] is None and Path(path).suffix not in FORMATS
