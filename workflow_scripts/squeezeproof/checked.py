"""Settings of a config as jobs read them: checked, defaults filled in, plain values under the keys of the config.

Annotations alone import this module, as they do `types`: jobs need no pydantic, and what stands here is no part of
their code. ty refuses a key that is not there. The models are in `entries` and `study`; tests/test_checked.py holds
that both name the same keys and types. Of an entry that is built at several ratios or bits, a job is given one.

The value of a key that names an entry is text: nothing lists the entries, and whoever adds one adds no line here.
"""

from typing import Any, Literal, NotRequired, TypedDict

from squeezeproof.norms import Norm

Schedule = Literal["linear", "exponential"]


class AdversarySettings(TypedDict):
    """Of every adversary: `entries.adversary.Adversary`."""

    method: str
    eps: float
    clean_weight: float
    norm: Norm
    space: Literal["pixel", "normalized"]


class FgsmAdversarySettings(AdversarySettings):
    """`entries.adversaries.fgsm.Fgsm`."""

    eps_distribution: Literal["fixed", "truncated_normal"]
    random_start: bool


class PgdAdversarySettings(AdversarySettings):
    """`entries.adversaries.pgd.Pgd`."""

    steps: int
    alpha: float | None
    random_start: bool


class ExtensionSettings(TypedDict):
    """`study.trainings.Extension`."""

    max_epochs: int
    patience: int
    tolerance: float


class TrainingSettings(TypedDict):
    """`study.trainings.TrainingSettings`; beside them stand the settings of the optimizer, which it reads itself."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: Literal["constant", "step", "cosine", "one-cycle"]
    milestones: list[int]
    gamma: float
    label_smoothing: float
    flip: bool
    crop: int
    rotation: float
    precision: Literal["float32", "bfloat16"]
    adversary: AdversarySettings | None
    extend: ExtensionSettings
    restarts_on_divergence: int
    divergence_factor: float


class CompressionSettings(TypedDict):
    """Of every compression: `entries.compression.Compression`."""

    method: str


class PruningSettings(CompressionSettings):
    """Of prunings in steps: `entries.compression.Pruning`."""

    ratio: float
    scope: str
    importance: str
    steps: int
    schedule: Schedule
    step_epochs: int
    rewind: bool


class FilterSettings(PruningSettings):
    """`entries.compressions.filter.Filter`."""

    taylor_images: int
    measure: Literal["channels", "parameters", "macs"]
    max_layer_ratio: float
    multiple_of: int


class WeightSettings(PruningSettings):
    """`entries.compressions.weight.Weight`."""

    funnel_slope: float


class AdmmSettings(CompressionSettings):
    """`entries.compressions.admm.Admm`."""

    ratio: float
    start: Literal["scratch", "base"]
    scope: Literal["global", "layer", "funnel", "redundant"]
    funnel_slope: float
    schedule: Schedule
    reach: float
    mask: Literal["held", "free"]
    eps_levels: list[float]
    first_steps: float
    update_batches: int | None
    rho: float
    rho_growth: float
    rho_max: float


class QuantizationSettings(CompressionSettings):
    """`entries.compressions.quantization.Quantization`."""

    bits: int
    after: str | None
    mode: Literal["ptq", "qat"]
    activation_bits: int | None
    calibration: Literal["minmax", "percentile", "mse"]
    percentile: float
    calibration_images: int
    first_last: Literal["quantize", "keep"]


class MeanAndStdSettings(TypedDict):
    """`entries.normalization.MeanAndStd`."""

    mean: list[float]
    std: list[float]


Normalization = Literal["dataset", "none", "half", "imagenet", "bytes"] | MeanAndStdSettings


class ArchitectureSettings(TypedDict):
    """Of every network: `entries.architecture.Architecture`."""

    kind: str
    normalization: Normalization
    initialization: Literal["own", "glorot_uniform", "he_normal"]
    checkpoint: str | None


class CustomSettings(ArchitectureSettings):
    """`entries.architectures.custom.Custom`."""

    factory: str
    arguments: dict[str, Any]


class ExternalSettings(CompressionSettings):
    """`entries.compressions.external.External`."""

    file: str
    of: str
    normalization: Normalization | None
    channels: Literal["rgb", "bgr"]
    layout: Literal["nchw", "nhwc"] | None
    outputs: Literal["logits", "probabilities", "energies"] | None
    output: str | None
    architecture: ArchitectureSettings | None


class DatasetSettings(TypedDict):
    """Of every kind of data sets, without `shards`, which changes no image: `entries.dataset.Dataset`."""

    kind: str
    train: int | None
    test: int | None
    validation: int
    subset_seed: int


class DownloadedSettings(DatasetSettings):
    """Of those that torchvision downloads: `entries.dataset.Downloaded`."""

    root: str
    download: bool


class DigitsSettings(DatasetSettings):
    """`entries.datasets.digits.Digits`."""

    size: int


class ImageFolderSettings(DatasetSettings):
    """`entries.datasets.image_folder.ImageFolder`."""

    root: str
    size: int
    channels: Literal[1, 3]
    background: str


class AttackSettings(TypedDict):
    """Of every attack at one budget: `entries.budget.with_budget`. Its own settings are arguments of its function; what
    others ask of them is named here, and not every attack has it.
    """

    method: str
    eps: float | None
    norm: Norm
    stop_on_success: bool
    stored: Literal["float32", "uint8"]
    targeted: NotRequired[str | None]
    expectation: NotRequired[int]
    gradient: NotRequired[Literal["straight-through", "identity", "smoothed"]]
    loss: NotRequired[str]
    steps: NotRequired[int]
    restarts: NotRequired[int | None]
    alpha: NotRequired[float | None]
    random_start: NotRequired[bool]


class QuantizerSettings(TypedDict):
    """Of one quantizer of a layer: see `models.quantized`."""

    bits: int
    learned: bool
