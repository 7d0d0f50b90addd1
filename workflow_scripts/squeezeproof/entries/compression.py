"""What a compression declares, and the settings that several compressions have."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import Distinct, Flag, Real, Whole, setting

NONE = "none"
# The method of a base that is trained on like a compressed model; a job of `compress` makes it, no config names it.
CONTROL = "control"
Fraction = Annotated[Real, Field(gt=0, lt=1)]
Share = Annotated[
    Real,
    Field(
        description="Of `scope: funnel`: how much the kept share falls from layer to layer, 0 for the same share and 1 "
        "for the steepest fall, at which a layer is full or empty.",
        gt=0,
        lt=1,
    ),
]
Rewind = Annotated[
    Flag,
    Field(
        description="`true` returns what is kept to the base model's weights before its training, after every step, "
        "and the fine-tuning trains them: the lottery-ticket experiment [frankle2019]. Biases and batch normalisation "
        "return too."
    ),
]


class Compression(Entry):
    """A compression.

    Called as function(task), as compression.compress.compress is: it compresses the model of the task
    (compression.task.Task) in place, has it trained, and returns the masks, parameter name -> bool tensor. One that is
    `given` is called as compression.external.read_external is.

    Attributes:
        level: the setting whose list an entry is built at, `ratio` or `bits`; empty for one that has none.
        masks_stored: whether the checkpoint holds a byte for every weight beside it.
        given: whether the model comes from a file of the user's, `file`; then nothing is compressed or trained here.
    """

    title: ClassVar[str] = "Compressions"
    about: ClassVar[str] = (
        "Each entry is built at every ratio, or bit width, of its list. `ratio` is the fraction removed (1 - "
        "bits/32 for a quantization); the achieved channels, parameters, MACs, sparsity, bits and bytes are "
        "in tables/compression.csv."
    )
    key: ClassVar[str] = "method"
    level: ClassVar[str] = "ratio"
    masks_stored: ClassVar[bool] = False
    given: ClassVar[bool] = False

    method: str

    @classmethod
    def kept(cls, settings: dict[str, Any]) -> float:
        """The share of the base's MACs, and of its bytes, that is left: about, before it is built."""
        return 1

    @classmethod
    def rounding(cls, settings: dict[str, Any]) -> str:
        """How a pass rounds, which costs time beside its products, as models.speed knows it; empty where none does."""
        return ""

    @classmethod
    def gives_gradients(cls, settings: dict[str, Any]) -> bool:
        """Whether attacks can follow the gradients of the model."""
        return True

    def variant_contradictions(self, path: str, study: Any, finetuning: str, architecture: str) -> Iterator[str]:
        """Every contradiction with a fine-tuning and an architecture that the study combines it with."""
        yield from ()


def training_needed(path: str, study: Any, finetuning: str, what: str, without: str) -> Iterator[str]:
    """Of a compression that trains: `without` where no fine-tuning is selected, and one that trains nothing."""
    if finetuning == NONE:
        yield without
    elif study.finetunings[finetuning].epochs == 0:
        yield f"finetunings.{finetuning}.epochs: 0 trains nothing, which {path} needs ({what})"


def random_weights(study: Any, architecture: str, what: str, instead: str) -> Iterator[str]:
    """Of a compression that goes back to random weights: an architecture that starts from a checkpoint."""
    if any(getattr(study.architectures[architecture], key, None) for key in ("checkpoint", "pretrained")):
        yield (
            f"{what} random weights, and architectures.{architecture} starts from a checkpoint; write {instead}, or "
            f"leave the two out of one selection of variants"
        )


class Pruning(Compression):
    """A pruning in one or more steps; those that inherit it have a scope and an importance.

    Attributes:
        lamp_in_a_layer: the importance whose order lamp follows within a layer.
    """

    lamp_in_a_layer: ClassVar[str]
    scope: str
    importance: str

    ratio: Distinct[Fraction] = setting("Fraction removed, one value or a list.", min_length=1)
    steps: Whole = setting("Compression steps; the importance is ranked again at each of them.", 1, ge=1, le=1000)
    schedule: Literal["linear", "exponential"] = setting(
        "Path of the removed fraction over the steps, linear, or exponential (the same share of what is left at each).",
        "exponential",
    )
    step_epochs: Whole = setting(
        "Epochs trained after every step but the last, in the mode of the variant's fine-tuning; none when that is "
        "`none`.",
        1,
        ge=0,
    )
    rewind: Rewind = False

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        if self.scope == "redundant" and self.importance != "magnitude":
            yield f"{path}.importance: scope: redundant goes by norms and magnitudes; write importance: magnitude"
        elif self.importance == "lamp" and self.scope != "global":
            same = self.lamp_in_a_layer
            yield f"{path}.importance: lamp ranks as {same} within a layer; write scope: global, or importance: {same}"
        if self.rewind and self.steps > 1 and not self.step_epochs:
            yield f"{path}.step_epochs: rewind: true would rank untrained weights at every step but the first; write 1"

    def variant_contradictions(self, path: str, study: Any, finetuning: str, architecture: str) -> Iterator[str]:
        """See Compression."""
        if self.rewind:
            yield from random_weights(study, architecture, f"{path}.rewind: returns to", "rewind: false")
            yield from training_needed(
                path, study, finetuning, "rewind: true",
                f"{path}.rewind: true leaves untrained weights, and variants selects it with none; name an entry of "
                f"finetunings there, or write rewind: false",
            )  # fmt: skip
