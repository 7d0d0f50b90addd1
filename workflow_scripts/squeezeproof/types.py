"""Types that several packages name. Annotations alone import this module, so that it is no part of a job's code.

What files and params of jobs hold are TypedDicts, not classes. They are plain JSON mappings, as the file has them; ty
refuses a key that is not there; readers say at once which key a file lacks, and SHA-256 tells what was altered. A class
and its reader would be code of every job, so that all that was ever made would be made again, to the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict, Union

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from squeezeproof.checked import AttackSettings


class Array(Protocol):
    """A numpy array, or one of `store.rows`: a slice, or indices of rows, give those rows as a numpy array."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


class Stored(Protocol):
    """A tensor in a file (`store.datasets.Tensors`): a slice, or indices of rows, give those rows as a tensor."""

    shape: tuple[int, ...]
    dtype: "torch.dtype"

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> "Tensor": ...


class Opened(Protocol):
    """A network in a file of another program, and what runs it: see `models.onnx_files.OnnxFile`."""

    @property
    def runtime(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | None]: ...
    @property
    def outputs(self) -> Mapping[str, Sequence[int | None]]: ...
    def ends_in(self, output: str) -> str: ...
    def step(self, output: str) -> float: ...
    def run(self, values: np.ndarray, output: str) -> np.ndarray: ...
    def size(self, image: np.ndarray) -> dict[str, int]: ...


class Described(TypedDict):
    """What the tables say of a model: see `study.plan.Study.describe`, which makes it."""

    dataset: str
    name: str
    variant: str
    architecture: str
    training: str
    compression: str
    ratio: float
    bits: int
    finetuning: str
    seed: int
    base: str
    control: str


class DatasetMetadata(TypedDict):
    """What a network is to know of a data set: class names, and (C, H, W) of its images.

    `mean` and `std` of the training images per channel in [0, 1] are not known of test images.
    """

    classes: list[str]
    shape: list[int]
    mean: NotRequired[list[float]]
    std: NotRequired[list[float]]


class SplitMetadata(DatasetMetadata):
    """The metadata of a prepared split, as `store.datasets.read_split` checks and returns them."""

    fingerprint: str


class Specification(TypedDict):
    """What rebuilds a network and its normalisation: see `models.build.specification`, which makes it."""

    # Settings of a network (checked.ArchitectureSettings), of an ensemble with its members, or of what a file holds.
    architecture: Any
    in_channels: int
    image_size: int
    num_classes: int
    # Not of an ensemble, whose members have theirs.
    mean: NotRequired[list[float]]
    std: NotRequired[list[float]]


class ModelMetadata(TypedDict):
    """The metadata of a checkpoint, as `models.checkpoints.save_model` writes them for the scripts that make models."""

    kind: str
    name: str
    specification: Specification
    # Layer -> settings of its quantizers.
    quantization: dict[str, dict[str, Any]]
    fingerprint: str
    # Module -> version of its state, where it has had several.
    versions: dict[str, int]
    # What `models.measure.measure` says of the model, and of its dense base.
    size: dict[str, int]
    dense: dict[str, int]
    # Of a base model; of a compressed one its checked settings, and what came of its fine-tuning (training.history).
    training: NotRequired[dict[str, Any]]
    compression: NotRequired[dict[str, Any]]
    finetuning: NotRequired[dict[str, Any]]
    # See `compression.achieved.achieved`.
    achieved: NotRequired[dict[str, Any] | None]
    # Fingerprints of the training images, of the model that a compressed one is made of, and of an ensemble's members.
    trained_on: NotRequired[str]
    made_of: NotRequired[str]
    members: NotRequired[list[str]]
    # Of a file of the user's: see `compression.compared.compare`, and what was understood of it.
    compared: NotRequired[dict[str, float]]
    notes: NotRequired[list[str]]


class Stage(TypedDict):
    """What one attack of a set did: how many examples it met, and how many still stood after it."""

    method: str
    loss: str
    attacked: int
    standing: int
    # Of an attack of another library: what it did beside what it is for (`attacks.library`).
    notes: NotRequired[dict[str, int]]


class Shard(TypedDict):
    """Which examples of a split a shard is of, `first` to before `last`, and the passes of it and of its fitting."""

    first: int
    last: int
    of: int
    passes: dict[str, int]
    fitting: dict[str, int]


class SetMetadata(TypedDict):
    """The metadata of an adversarial set, or of a shard of one, as `store.adversarial.save_set` writes them.

    Its versions are read by `store.made_with.recorded`.
    """

    kind: str
    dataset: str
    source: str
    attack: str
    entry: str
    settings: "AttackSettings"
    clean_fingerprint: str
    source_fingerprint: str
    n: int
    successes: int
    dtype: str
    stages: list[Stage]
    seconds: float
    device: str
    # Not of a shard: passes per example, and the share of input gradients that were exactly zero.
    forwards_per_example: float
    backwards_per_example: float
    zero_gradients: float
    # Of a shard alone.
    shard: NotRequired[Shard]
    # Why the attack failed.
    failed: NotRequired[str]
    # Passes whose mean logits are scored, of a source whose passes differ.
    random_passes: NotRequired[int]
    # Of 8-bit images: how many succeeded before they were rounded.
    float_successes: NotRequired[int]
    # Of an attack with a substitute: what it asked the source, and the first examples, which it kept for itself.
    queries: NotRequired[int]
    held_out: NotRequired[int]


class PredictionsMetadata(TypedDict):
    """The metadata of predictions, as `store.predictions.save_predictions` writes them, which explains the keys."""

    kind: str
    dataset: str
    target: str
    source: str
    attacks: dict[str, dict[str, Any]]
    targeted_attacks: NotRequired[dict[str, dict[str, Any]]]
    target_fingerprint: str
    clean_fingerprint: str
    classes: list[str]
    scored: dict[str, str]
    # Of a sweep alone: see `store.sweeps.SweepFile`.
    sweep: NotRequired[str]
    entry: NotRequired[str]
    stops: NotRequired[bool]
    identity: NotRequired[list[Any]]
    costs: NotRequired[dict[str, dict[str, float]]]


class PairNames(Protocol):
    """The names of a target and of the source of the sets that it is scored on."""

    dataset: str
    target: str
    source: str


class Placed(Protocol):
    """An nn.Module, or what stands for one: it has tensors, which lie on a device."""

    def parameters(self) -> "Iterator[torch.nn.Parameter]": ...
    def buffers(self) -> "Iterator[Tensor]": ...


# What a kind of data sets loads: training and test images uint8 [N, C, H, W] with labels int64 [N], and class names.
Loaded = tuple[tuple[Array, np.ndarray], tuple[Array, np.ndarray], list[str]]
# uint8 images [N, C, H, W], or floats in [0, 1].
Images = Union["Tensor", Stored]
# Such images with their labels, int64 [N].
Split = tuple[Images, "Tensor"]
# Maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
Classifier = Callable[["Tensor"], "Tensor"]
# Maps logits [N, K] and labels [N] to the loss of each example, [N].
Loss = Callable[["Tensor", "Tensor"], "Tensor"]
# Parameter name -> bool tensor, True where a weight is kept.
Masks = dict[str, "Tensor"]
# What tells the models of a data set and seed apart, and what a compressed one is compared with.
Axis = Literal["architecture", "training", "compression", "ratio", "bits", "finetuning"]
Reference = Literal["base", "control"]
# Data set, source, target and attack of a cell.
Key = tuple[str, str, str, str]
