"""Proof that a network without some filters is the network in which exactly those filters are silent.

torch-pruning follows a filter to the layers that take it by the shapes of autograd's graph. It does not see every order
of channels (an NHWC flatten, a shuffle, a roll), so what it cut is compared, before anyone uses it, with the whole
network in which the filters and their normalisations give zeros.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.errors import InputError, NotSupported, pass_on
from squeezeproof.models.copies import copied
from squeezeproof.models.device import device_of
from squeezeproof.models.random_passes import PASSES, Passes
from squeezeproof.randomness import own_randomness

IMAGES = 4
# Standard deviation of the noise in which filters answer that no image of [0, 1] wakes: what was cut beside them shows.
LOUD = 10.0
# Of how much a logit changes from image to image. A wrong cut moves every channel behind it.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3}
# Units in the last place that the order of sums may change.
ULPS = 1000
INSTEAD = (
    "Leave this network out of filter pruning (under `variants`, which names `compressions` of `architectures`), prune "
    "its weights (method: weight)"
)
RANDOM = "its passes draw random numbers in eval mode, so that two differ, with filters removed or not"


class Refused(NotSupported):
    """Filters cannot be removed as they are tied; `reasons` has for the name of each of their layers why."""

    def __init__(self, reasons: dict[str, str], more: str = "") -> None:
        first = next(iter(reasons.values()))
        names = [name for name, reason in reasons.items() if reason == first]
        change = (
            "make it deterministic in eval mode, as by F.dropout(h, 0.3, training=self.training)"
            if first == RANDOM
            else "change it so that a channel keeps its place on the way to the layer that takes it"
        )
        super().__init__(f"filter pruning does not cover {', '.join(names)}: {first}.{more} {INSTEAD}, or {change}")
        self.reasons = reasons


def refused(names: Iterable[str], reason: str) -> InputError:
    """The Refused of layers that share a reason."""
    return Refused(dict.fromkeys(names, reason))


class Reference:
    """A network as it was before its filters were removed, and what it computes with some of them silent."""

    def __init__(self, model: nn.Module, shape: Sequence[int]) -> None:
        generator, device = torch.Generator().manual_seed(0), device_of(model)
        self.pixels = torch.rand(IMAGES, *shape, generator=generator).to(device)
        self.noise = LOUD * torch.randn(IMAGES, *shape, generator=generator).to(device)
        # In double precision rounding hides nothing, where the network takes it.
        self.double, self.model = _in_double(model, self.pixels)

    def difference(self, pruned: nn.Module, removed: dict[str, Any]) -> str | None:
        """What tells `pruned` from the network with the `removed` channels silent (of `silent`), None if nothing."""
        with torch.no_grad():
            with silent(self.model, removed) as strays:
                expected, loud = self._logits(self.model, self.pixels), self._loud(self.model)
            if strays:
                return f"{', '.join(strays)} would lose other channels than those filters feed"
            if self.double:
                pruned = copied(pruned).double()
            try:
                found = self._logits(pruned, self.pixels)
            except Exception as error:
                pass_on(error)
                return (
                    "without some of their filters the network fails, as where channels are taken in an order that "
                    "cannot be followed, or a size is a fixed number "
                    f"({type(error).__name__}: {error})"
                )
            answer = None if loud is None else self._loud(pruned)
        if same_logits(expected, found) and (loud is None or (answer is not None and same_logits(loud, answer))):
            return None
        if self._draws():
            return RANDOM
        return (
            "without some of their filters it computes something else than with those silent, as where channels are "
            "reordered, split at fixed places, or pass a function that is not 0 at 0"
        )

    def _draws(self) -> bool:
        """Whether passes of the network draw random numbers, of which a smaller one gets others."""
        pixels = self.pixels.double() if self.double else self.pixels

        def look() -> torch.Tensor:
            logits = self.model(pixels)
            # Of a masked class.
            return torch.where(logits.isfinite(), logits, 0)

        with own_randomness(0, pixels.device):
            return Passes.of(look, pixels.device, PASSES).differ

    def _logits(self, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        # A network that draws numbers in eval mode draws the same ones each time.
        with own_randomness(0, images.device):
            return model.eval()(images.double() if self.double else images)

    def _loud(self, model: nn.Module) -> torch.Tensor | None:
        """The logits of noise; None of a network that such inputs break, or take beyond what its numbers hold."""
        try:
            logits = self._logits(model, self.noise)
        except Exception as error:
            pass_on(error)
            return None
        return logits if logits.isfinite().all() else None


def same_logits(expected: torch.Tensor, found: torch.Tensor) -> bool:
    """Whether two networks give the same logits [N, K], but for what is small beside how they change from image to
    image and beside their own rounding. Neither an offset of all logits nor a masked class (of -1e9, or -inf) hides a
    difference in the others."""
    finite = expected.isfinite()
    if found.shape != expected.shape or not torch.equal(
        torch.where(finite, 0, expected), torch.where(finite, 0, found)
    ):
        return False
    apart = torch.where(finite, expected - found, 0).abs()
    values = torch.where(finite, expected, 0)
    change = (values - values.mean(0)).abs().amax(0)
    # A logit near zero is a sum of numbers as large as the others'; the lower median leaves masked classes out.
    # (torch's own repeats on no GPU.)
    sizes = values.abs()
    middle = sizes.sort(1).values[:, (sizes.shape[1] - 1) // 2, None]
    rounding = ULPS * torch.finfo(expected.dtype).eps * (sizes + middle)
    # Of a masked class the change is rounding.
    scale = torch.where(change > rounding.amax(0), change, 0).max()
    return bool((apart <= TOLERANCE.get(expected.dtype, 1e-2) * scale + rounding).all())


@contextmanager
def silent(model: nn.Module, removed: dict[str, Any]) -> Generator[list[str]]:
    """The model with channels held at zero: `removed` maps names of layers to the indices of outputs, of bare
    parameters to (dimension, indices).

    Normalisations over channels (LayerNorm, GroupNorm) are taken over those that are left. Yields the list of the
    normalisations that are fed something else than zeros in a channel that they lose; it is filled by passes.
    """
    strays, saved = [], []
    with ExitStack() as stack:
        try:
            for name, what in removed.items():
                if isinstance(what, tuple):
                    parameter = model.get_parameter(name)
                    saved.append((parameter, parameter.detach().clone()))
                    parameter.data.index_fill_(what[0], what[1].to(parameter.device), 0)
                else:
                    hook = model.get_submodule(name).register_forward_hook(_silencer(name, what, strays))
                    stack.callback(hook.remove)
            yield strays
        finally:
            for parameter, values in saved:
                parameter.data.copy_(values)


def _silencer(
    name: str, indices: torch.Tensor, strays: list[str]
) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
    def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        at = indices.to(output.device)
        place = channel_dimension(module, output)
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)):
            if name not in strays and inputs[0].index_select(place, at).any():
                strays.append(name)
            if not isinstance(module, nn.modules.batchnorm._BatchNorm):
                return _normalized(module, inputs[0], at, place)
        return output.index_fill(place, at, 0)

    return hook


def channel_dimension(module: nn.Module, tensor: torch.Tensor) -> int:
    """The dimension of a layer's input or output that holds its channels."""
    if isinstance(module, nn.Linear):
        return tensor.dim() - 1
    if isinstance(module, nn.LayerNorm):
        # Its subclasses for [N, C, H, W] turn the channels to the end themselves.
        turned = (
            type(module) is not nn.LayerNorm and tensor.dim() == 4 and tensor.shape[1] == module.normalized_shape[0]
        )
        return 1 if turned else tensor.dim() - 1
    return 1


def _normalized(
    module: nn.LayerNorm | nn.GroupNorm, values: torch.Tensor, gone: torch.Tensor, place: int
) -> torch.Tensor:
    """A LayerNorm or GroupNorm over the channels that are left, zero elsewhere."""
    count = values.shape[place]
    kept = torch.ones(count, dtype=torch.bool, device=values.device)
    kept[gone] = False
    parameters: list[Any] = [module.weight, module.bias]
    weight, bias = (None if parameter is None else parameter[kept] for parameter in parameters)
    moved = values.movedim(place, -1 if isinstance(module, nn.LayerNorm) else 1)
    output = torch.zeros_like(moved)
    if isinstance(module, nn.LayerNorm):
        output[..., kept] = functional.layer_norm(moved[..., kept], (int(kept.sum()),), weight, bias, module.eps)
        return output.movedim(-1, place)
    output[:, kept] = functional.group_norm(moved[:, kept], module.num_groups, weight, bias, module.eps)
    return output.movedim(1, place)


def _in_double(model: nn.Module, pixels: torch.Tensor) -> tuple[bool, nn.Module]:
    """(True, a copy in double precision), or (False, a copy as it is) of a network that does not take it."""
    try:
        double = copied(model).double()
        with torch.no_grad():
            double.eval()(pixels.double())
        return True, double
    except Exception as error:
        pass_on(error)
        return False, copied(model)
