"""The settings of a training and of a fine-tuning, and which of them do not go together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from squeezeproof.entries import registry
from squeezeproof.entries.settings import (
    Flag,
    Positive,
    Real,
    Settings,
    Several,
    Whole,
    setting,
)
from squeezeproof.entries.unions import one_of

if TYPE_CHECKING:
    from squeezeproof.study.config import StudyConfig


class Extension(Settings):
    """How long a training goes on after its epochs."""

    max_epochs: Whole = setting("Epochs in all at the most; 0 does not extend.", 0, ge=0, le=100_000)
    patience: Whole = setting("Epochs without a lower loss after which the training ends.", 1, ge=1, le=100_000)
    tolerance: Real = setting(
        "Share of the lowest loss so far by which it must fall to count as falling.", 0.001, ge=0, lt=1
    )


class TrainingSettings(Settings):
    """A fine-tuning has the same settings as a training and starts from the compressed model; pruning masks hold
    throughout.
    """

    epochs: Whole = setting("Passes over the training images; 0 keeps the weights as they are.", ge=0, le=100_000)
    batch_size: Whole = setting("Images per step; the last, smaller batch of an epoch is used too.", 128, ge=1)
    optimizer: Literal[tuple(registry.optimizers())] = setting("Optimizer.", "sgd")
    learning_rate: Positive = setting("Peak learning rate.", 0.05)
    weight_decay: Real = setting(
        "Weight decay (L2 term; decoupled for adamw), on weights of two or more dimensions only.", 0, ge=0
    )
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = setting(
        "Learning rate over the run, updated every step; step multiplies by `gamma` at each of `milestones`, one-cycle "
        "warms up linearly over the first 30 % and anneals by a cosine.",
        "constant",
    )
    milestones: Several[Annotated[Whole, Field(ge=1)]] = setting(
        "Epochs at which the step schedule multiplies by `gamma`.", []
    )
    gamma: Real = setting("Factor of the step schedule.", 0.1, gt=0, le=1)
    label_smoothing: Real = setting("Label smoothing of the cross-entropy.", 0, ge=0, lt=1)
    flip: Flag = setting("Flip images horizontally with probability 1/2.", False)
    crop: Whole = setting(
        "Pad by this many zero pixels on each side and crop at random to the old size.", 0, ge=0, le=64
    )
    rotation: Real = setting("Rotate by an angle drawn uniformly from [-rotation, rotation] degrees.", 0, ge=0, le=180)
    precision: Literal["float32", "bfloat16"] = setting(
        "Number format of the network's passes, those that craft adversarial examples included; bfloat16 uses autocast "
        "and is fast on a GPU or a CPU that has it. Weights and images stay float32.",
        "float32",
    )
    adversary: one_of(registry.adversaries(), by_name=True) | None = setting(
        "What crafts adversarial examples to train on: a mapping with `method` and its settings; null is "
        "standard training.",
        None,
    )
    extend: Extension = setting(
        "Train on after `epochs`, at the last learning rate, while the mean adversarial loss of an epoch falls: as "
        "long as the best of the last `patience` epochs is lower than all before by more than the share `tolerance`, "
        "up to `max_epochs` in all; max_epochs 0 does not extend.",
        {},
    )
    restarts_on_divergence: Whole = setting(
        "Times that a diverged training goes back to its last good epoch and on at `divergence_factor` of the learning "
        "rate, before it ends with an error.",
        0,
        ge=0,
        le=100,
    )
    divergence_factor: Real = setting("Factor of the learning rate at every such restart.", 0.1, gt=0, lt=1)

    def contradictions(self, path: str, study: "StudyConfig") -> Iterator[str]:
        """Every contradiction of settings that are each allowed."""
        yield from self._optimizer_contradictions(path)
        for name, dataset in study.datasets.items():
            if self.crop >= dataset.side():
                yield (
                    f"{path}.crop: {self.crop} pads the images of datasets.{name}, {dataset.side()} pixels wide, until "
                    f"some crops hold nothing of them; write less, such as {max(1, dataset.side() // 8)}"
                )
        if self.milestones and self.schedule != "step":
            yield f"{path}.milestones: schedule: {self.schedule} has none; write schedule: step"
        if late := [milestone for milestone in self.milestones if milestone >= self.epochs]:
            yield f"{path}.milestones: {late[0]} never comes, the epochs end at {self.epochs}"
        if self.schedule == "step" and not self.milestones:
            yield f"{path}.schedule: step needs milestones, such as milestones: [{max(1, self.epochs // 2)}]"
        if self.adversary is not None:
            yield from self.adversary.contradictions(f"{path}.adversary", study)
        yield from self._extension_contradictions(path)

    def _optimizer_contradictions(self, path: str) -> Iterator[str]:
        known = registry.optimizers()
        own = known[self.optimizer].own()
        for name in {name: None for optimizer in known.values() for name in optimizer.own() if name not in own}:
            if getattr(self, name) != type(self).model_fields[name].default:
                owners = [label for label, optimizer in known.items() if name in optimizer.own()]
                yield f"{path}.{name}: {self.optimizer} has none; it belongs to {' and '.join(owners)}"
        yield from known[self.optimizer].training_contradictions(path, self)

    def _extension_contradictions(self, path: str) -> Iterator[str]:
        extend = self.extend
        if not extend.max_epochs:
            if extend.patience > 1:
                yield f"{path}.extend.patience: nothing is extended without max_epochs; write such as {2 * self.epochs}"
            return
        if not 0 < self.epochs < extend.max_epochs:
            yield (
                f"{path}.extend.max_epochs: {extend.max_epochs} in all, of which epochs: {self.epochs} come first; "
                f"write more than epochs, and epochs above 0"
            )
        if self.adversary is None or self.adversary.clean_weight == 1:
            yield f"{path}.extend: follows the adversarial loss, which needs an adversary with a clean_weight below 1"
        if self.schedule in ("cosine", "one-cycle"):
            yield f"{path}.extend: {self.schedule} ends at a learning rate near 0; write schedule: constant or step"


OF_OPTIMIZERS: dict[str, Any] = {
    name: (field.annotation, field)
    for optimizer in registry.optimizers().values()
    for name, field in optimizer.model_fields.items()
    if name != optimizer.key
}
Training = create_model("Training", __base__=TrainingSettings, __doc__=TrainingSettings.__doc__, **OF_OPTIMIZERS)
