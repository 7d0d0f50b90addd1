from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from squeezeproof.entries.compression import NONE, Compression, Fraction, Share, random_weights, training_needed
from squeezeproof.entries.settings import Distinct, Positive, Real, Whole, setting


class Admm(Compression):
    """One-shot ADMM (Marshall 2020, Algorithm 1): the network trains towards a sparse set of its weights and lies in it
    at the end. Epochs, optimizer and adversary are those of the variant's fine-tuning, which is this training and none
    after it. Every setting but `ratio` is left open by the thesis or has several readings.
    """

    function = "squeezeproof.compression.sparse_training:compress_admm"

    method: Literal["admm"] = "admm"
    ratio: Distinct[Fraction] = setting(
        "Fraction of the weights of convolutions and linear layers removed in the end, one value or a list; the "
        "thesis's k is 1 - ratio.",
        min_length=1,
    )
    start: Literal["scratch", "base"] = setting(
        "`scratch` starts from the weights that the base model started from; `base` from the trained base model.",
        "scratch",
    )
    scope: Literal["global", "layer", "funnel", "redundant"] = setting(
        "What is kept: `global` the largest weights of all layers together (the thesis's irregular sparsity), `layer` "
        "those of every layer; `funnel` a strictly smaller share of every deeper layer, falling by `funnel_slope`; "
        "`redundant` removes, of convolution filters of equal length that are nearest each other, those of smaller "
        "norm, and then the smallest weights.",
        "global",
    )
    funnel_slope: Share = 0.5
    schedule: Literal["linear", "exponential"] = setting(
        "Path of the removed fraction over the epochs until `reach`, linear, or exponential (the same share of what is "
        "left in each).",
        "exponential",
    )
    reach: Real = setting(
        "Share of the epochs, rounded down but at least one, after which the removed fraction is `ratio`.",
        0.667,
        gt=0,
        le=1,
    )
    mask: Literal["held", "free"] = setting(
        "Once `ratio` is reached, `held` keeps to the set of weights found then; `free` projects anew to the end, as "
        "the algorithm is printed.",
        "held",
    )
    eps_levels: Distinct[Annotated[Real, Field(ge=0, le=1)]] = setting(
        "Shares of the adversary's eps (and of its alpha, where given), each for an equal part of the epochs; rising, "
        "the last is 1. At 0 nothing is crafted.",
        [0.333, 0.667, 1],
        min_length=1,
    )
    first_steps: Real = setting(
        "Share of PGD's steps that every part of the epochs begins with; they rise linearly to all of them, and a part "
        "of one epoch has all.",
        0.333,
        gt=0,
        le=1,
    )
    update_batches: Whole | None = setting(
        "Batches from one projection and dual update to the next, at the longest an epoch; null is an epoch, 1 is "
        "every batch.",
        None,
        ge=1,
    )
    rho: Positive = setting(
        "Weight of the penalty rho/2 |w - z|^2 that draws the weights w to their projection z, at the start. With rho "
        "x learning rate x batches of an update well above 1 they hardly leave z, well below 1 they hardly come near "
        "it.",
        0.001,
    )
    rho_growth: Real = setting("Factor of rho at every update.", 1.3, ge=1)
    rho_max: Positive = setting("Limit of rho.", 0.1)

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        levels = [float(level) for level in self.eps_levels]
        if levels != sorted(levels) or levels[-1] != 1:
            yield f"{path}.eps_levels: {levels} do not rise to 1; write {sorted({*levels, 1.0})}"
        if self.rho_max < self.rho:
            yield f"{path}.rho_max: {self.rho_max:g} is less than rho: {self.rho:g}; write at least that"

    def variant_contradictions(self, path: str, study: Any, finetuning: str, architecture: str) -> Iterator[str]:
        """See Compression."""
        if self.start == "scratch":
            yield from random_weights(study, architecture, f"{path}.start: scratch means", "start: base")
        yield from training_needed(
            path, study, finetuning, "method: admm",
            f"{path}: admm compresses while it trains, for the epochs of a fine-tuning, and variants selects it with "
            f"none; name an entry of finetunings there, with the epochs, optimizer and adversary of the training",
        )  # fmt: skip
        if finetuning == NONE:
            return
        training = study.finetunings[finetuning]
        if training.optimizer == "sgd" and self.rho_max * training.learning_rate >= 2:
            yield (
                f"{path}.rho_max: {self.rho_max:g} times learning_rate: {training.learning_rate:g} of "
                f"finetunings.{finetuning} is 2 or more, and every step would overshoot the projection; write less "
                f"than {2 / training.learning_rate:.4g}"
            )
