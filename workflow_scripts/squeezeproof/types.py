"""Types that several packages name. Annotations alone import this module, so that it is no part of a job's code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict, Union

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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


class SplitMetadata(TypedDict):
    """The metadata of a prepared split, as `store.datasets.read_split` checks and returns them."""

    classes: list[str]
    fingerprint: str
    shape: list[int]
    mean: NotRequired[list[float]]
    std: NotRequired[list[float]]


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
