from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.compression import Pruning
from squeezeproof.entries.settings import Real, Whole, setting


class Filter(Pruning):
    """Filters (output channels of convolutions) are removed physically, with everything that depends on them."""

    function = "squeezeproof.compression.filters:compress_filters"
    lamp_in_a_layer = "l2"

    method: Literal["filter"] = "filter"
    importance: Literal[
        "l1", "l2", "geometric_median", "l1_per_parameter", "l1_over_mean", "lamp", "taylor", "random"
    ] = setting(
        "l1 and l2: norm of the filter [li2017]; geometric_median: summed distance to the layer's other filters "
        "[he2019]; l1_per_parameter: L1 norm over the number of weights (Wang et al. 2018); l1_over_mean: L1 norm "
        "over the mean of its layer's, for `scope: global` [fang2023]; lamp: squared L2 norm over the sum of those of "
        "its layer that are not smaller (after [lee2021]), for `scope: global`; taylor: squared first-order change of "
        "the loss when the filter is silenced, averaged over images [molchanov2019]; random: a control.",
        "l1",
    )
    taylor_images: Whole = setting(
        "Of `importance: taylor`: training images, drawn anew at every step, that the changes of the loss are averaged "
        "over (all where there are fewer).",
        512,
        ge=1,
    )
    scope: Literal["layer", "global"] = setting(
        "`layer` removes the same share of every layer; `global` ranks the filters of all layers together.", "layer"
    )
    measure: Literal["channels", "parameters", "macs"] = setting(
        "What `ratio` counts: channels, parameters or MACs; the last two are reached within one point.", "channels"
    )
    max_layer_ratio: Real = setting(
        "Of `scope: global`: largest fraction of a layer's filters that may go, so that no layer is left too thin; at "
        "1 every layer keeps one filter. The ratio is met by the other layers, or refused.",
        1,
        gt=0,
        le=1,
    )
    multiple_of: Whole = setting(
        "Every layer keeps a multiple of so many filters, or all that it has: kernels of many CPUs, GPUs and NPUs are "
        "made for 8 or 16. The ratio is met as nearly as multiples come, within five points, or refused.",
        1,
        ge=1,
        le=256,
    )

    @classmethod
    def kept(cls, settings: dict[str, Any]) -> float:
        """See Compression: channels that go take their inputs with them."""
        kept = 1 - settings["ratio"]
        return kept**2 if settings["measure"] == "channels" else kept

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if self.importance == "l1_over_mean" and self.scope == "layer":
            yield f"{path}.importance: l1_over_mean ranks as l1 within a layer; write scope: global, or importance: l1"
        if self.max_layer_ratio == 1:
            return
        if self.scope == "layer":
            yield f"{path}.max_layer_ratio: scope: layer removes the same share of every layer; write scope: global"
        elif self.measure == "channels" and self.max_layer_ratio < max(self.ratio):
            yield (
                f"{path}.max_layer_ratio: {self.max_layer_ratio:g} of every layer is less than the ratio "
                f"{max(self.ratio):g} of all channels; write at least {max(self.ratio):g}"
            )
