from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from squeezeproof.entries.compression import Compression, training_needed
from squeezeproof.entries.settings import Distinct, Real, Text, Whole, setting


class Quantization(Compression):
    """Weights and inputs of convolutions and linear layers are rounded to 2^bits levels, simulated in float32; sizes
    are those of the bit width, no time is saved.
    """

    function = "squeezeproof.compression.quantization:compress_bits"
    level = "bits"

    method: Literal["quantization"] = "quantization"
    bits: Distinct[Annotated[Whole, Field(ge=1, le=16)]] = setting(
        "Bits of a weight, one value or a list; the range is symmetric, one per output channel. 1 bit is the sign "
        "times the channel's mean magnitude [rastegari2016].",
        min_length=1,
    )
    after: Text | None = setting(
        "What is quantized instead of the base model: a pruned one, named by compression and fine-tuning, such as "
        "filter-50.standard or weight-90.none. Its pruning masks stay.",
        None,
    )
    mode: Literal["ptq", "qat"] = setting(
        "`ptq` quantizes the trained model (a fine-tuning then trains the quantized network, straight-through, at the "
        "ranges found); `qat` is quantization-aware training, for the epochs of the variant's fine-tuning, which "
        "trains the scales with the weights (LSQ [esser2020]).",
        "ptq",
    )
    activation_bits: Whole | None = setting(
        "Bits of the layers' inputs, 1 to 16, or 32 to leave them float; null means as many as `bits`. The range is "
        "affine, one per layer.",
        None,
        ge=1,
        le=32,
    )
    calibration: Literal["minmax", "percentile", "mse"] = setting(
        "Ranges of weights and inputs: `minmax` spans all values, `percentile` leaves out the outermost, `mse` "
        "searches the clip of least mean squared error. They stay fixed from then on.",
        "minmax",
    )
    percentile: Real = setting("Percentile of the calibration of that name.", 99.99, gt=50, le=100)
    calibration_images: Whole = setting(
        "Training images, drawn at random, that the ranges of the inputs are found on (all where there are fewer).",
        512,
        ge=1,
    )
    first_last: Literal["quantize", "keep"] = setting(
        "`quantize` treats the first and the last layer as the others; `keep` gives their weights and inputs at least "
        "8 bits, as is customary at low bit widths.",
        "quantize",
    )

    @classmethod
    def rounding(cls, settings: dict[str, Any]) -> str:
        """See Compression."""
        return settings["mode"]

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        bits = self.activation_bits
        if bits is not None and 16 < bits < 32:
            yield f"{path}.activation_bits: {bits} is neither 1 to 16 nor 32; write 32 to leave the inputs float"
        if self.mode == "qat" and bits == 32 and 1 in self.bits:
            yield (
                f"{path}.mode: qat trains scales, and 1-bit weights with float inputs have none; it would be a ptq "
                f"with a fine-tuning, so write mode: ptq, or activation_bits below 32"
            )

    def variant_contradictions(self, path: str, study: Any, finetuning: str, architecture: str) -> Iterator[str]:
        """See Compression."""
        if self.mode == "qat":
            yield from training_needed(
                path, study, finetuning, "mode: qat",
                f"{path}.mode: qat trains for the epochs of a fine-tuning, and variants selects it with none; name an "
                f"entry of finetunings there, or write mode: ptq",
            )  # fmt: skip
