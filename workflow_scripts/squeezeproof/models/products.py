"""What a network multiplies its activations with, found in a pass and not by the kinds of its layers.

Only so are weights seen that are recomputed from other parameters (spectral_norm, weight_norm, standardised weights,
leftovers of torch.nn.utils.prune), shared, held bare (the projections of attention), or never used.
"""

import warnings
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from squeezeproof.models.device import device_of

aten = torch.ops.aten
NO_WEIGHT = (
    "finds no weight that the images are multiplied with; in `forward`, compute with tensors of torch alone, without "
    ".detach(), .data, numpy or integers"
)
# Operation -> the places of its factors among its arguments.
FACTORS: dict[Any, tuple[int, ...]] = {
    aten.convolution: (0, 1),
    aten.conv_tbc: (0, 1),
    # Of torchvision, by its name: it may not be there.
    "torchvision::deform_conv2d": (0, 1),
    aten._trilinear: (0, 1, 2),
    aten._cdist_forward: (0, 1),
    aten._euclidean_dist: (0, 1),
    # The weights of an embedding_bag's examples are factors where it has some.
    aten._embedding_bag: (0, 6),
    aten._embedding_bag_forward_only: (0, 6),
    aten.dot: (0, 1),
    aten.addbmm: (1, 2),
    aten._sparse_addmm: (1, 2),
    aten.mm: (0, 1),
    aten.bmm: (0, 1),
    aten.addmm: (1, 2),
    aten.baddbmm: (1, 2),
    aten.mv: (0, 1),
    aten.addmv: (1, 2),
    aten.mul: (0, 1),
    aten.mul_: (0, 1),
    aten.addcmul: (1, 2),
}
# What multiplies number by number. Only a tensor of several dimensions is a weight there: one number for a channel, or
# for all, is a gain as that of a normalisation.
ELEMENTWISE = (aten.mul, aten.mul_, aten.addcmul)


@dataclass(frozen=True)
class Product:
    """One multiplication of a pass: in the innermost module `module`, of `macs` multiply-accumulates an image.

    `weight` is the factor that depends on no image and on some parameter, None where there is none; `parameter` the
    name of the parameter whose values it is, None where it is computed from parameters.
    """

    module: str
    macs: int
    weight: torch.Tensor | None = None
    parameter: str | None = None


def products(model: nn.Module, shape: Sequence[int], images: torch.Tensor | None = None) -> list[Product]:
    """Every Product of a pass of the model over one image [1, *shape], in order of execution.

    Args:
        images: pixels [N, *shape] of a pass over these instead; their products, of `macs` for all of them.
    """
    image = torch.zeros(1, *shape, device=device_of(model)) if images is None else images.detach().clone()
    places = _places(model)
    with _plain():
        with gradients(model, False):
            by_image = _record(model, image.requires_grad_(True), places)
        with gradients(model, True):
            by_parameter = _record(model, image.detach(), places)
    if len(by_image) != len(by_parameter):
        # Some functions of torch are other sums of products where another part takes a gradient.
        by_image, by_parameter = (
            [step for step in steps if not step.elementwise] for steps in (by_image, by_parameter)
        )
    found = []
    for step, other in zip(by_image, by_parameter, strict=True):
        weights = [
            factor for factor, moves, learned in zip(step.factors, step.moves, other.moves, strict=True)
            if learned and not moves
        ]  # fmt: skip
        weight = _distinct(weights[0]) if weights else None
        gain = step.elementwise and (weight is None or sum(size > 1 for size in weight.shape) < 2)
        if any(step.moves) and not gain:
            found.append(Product(step.module, step.macs, weight, _parameter_of(weight, places)))
    return found


def weights_in_use(found: Sequence[Product]) -> dict[Any, tuple[str, str | None, torch.Tensor]]:
    """The weights of products, each once however often it is used: key -> (module, parameter or None, tensor)."""
    weights = {}
    for index, product in enumerate(found):
        if product.weight is not None:
            # What is computed is another tensor in every pass; a module's counts once, a parameter's parts each.
            part = product.parameter, product.weight.data_ptr(), product.weight.numel()
            computed = product.module, product.weight.shape, None if product.module else index
            key = part if product.parameter else computed
            weights.setdefault(key, (product.module, product.parameter, product.weight))
    return weights


def used(found: Sequence[Product]) -> set[str]:
    """The names of the parameters that products multiply with, and of the modules that compute theirs."""
    return {product.parameter or product.module for product in found if product.weight is not None}


@contextmanager
def multiplied(model: nn.Module) -> Generator[set[str]]:
    """Within the context, whatever mode the model is in, the names of the parameters that it multiplies with as they
    are; the set is filled when the context ends."""
    names, recorder = set(), _Recorder([""], _places(model))
    with recorder:
        yield names
    factors = [factor for step in recorder.found for factor in step.factors]
    names |= {name for factor in factors if (name := _parameter_of(factor, recorder.places))}


@dataclass(frozen=True)
class _Step:
    """A multiplication of a pass: its factors, and whether each of them takes a gradient, `moves`."""

    module: str
    macs: int
    factors: list[torch.Tensor]
    moves: list[bool]
    elementwise: bool


class _Recorder(TorchDispatchMode):
    """Records every multiplication as a _Step in `found`; `places` are those of the model's parameters."""

    def __init__(self, stack: list[str], places: list[tuple[int, int, str]]) -> None:
        super().__init__()
        self.stack, self.places, self.found = stack, places, []
        # First byte -> a copy of a parameter, and what it was copied from; where it lies, nothing else can.
        self.copies = {}

    def __torch_dispatch__(  # ty: ignore[lost-keyword-for-regular-parameter]
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output, packet = operation(*args, **(kwargs or {})), operation.overloadpacket
        places = FACTORS.get(packet) or FACTORS.get(operation.name(), ())
        factors: list[Any] = [args[place] if place < len(args) else None for place in places]
        if factors and all(isinstance(factor, torch.Tensor) for factor in factors):
            moves = [factor.requires_grad for factor in factors]
            factors = [self._original(factor.detach()) for factor in factors]
            macs = _macs(packet, args, output)
            self.found.append(_Step(self.stack[-1], macs, factors, moves, packet in ELEMENTWISE))
        elif packet is aten.clone and _parameter_of(args[0], self.places):
            # einsum and the like bring a weight into another order first.
            self.copies[output.data_ptr()] = output, args[0].detach()
        return output

    def _original(self, factor: torch.Tensor) -> torch.Tensor:
        """What a factor is a whole copy of, itself where it is none."""
        if factor.layout is not torch.strided:
            return factor.to_dense()
        copied, source = self.copies.get(factor.data_ptr(), (factor, factor))
        return source if copied.numel() == factor.numel() == source.numel() else factor


def _macs(packet: Any, args: tuple[Any, ...], output: torch.Tensor) -> int:
    """Multiply-accumulates of an operation of FACTORS."""
    if packet in ELEMENTWISE:
        return output.numel()
    first, second = (args[place] for place in FACTORS[packet][:2]) if packet in FACTORS else args[:2]
    if packet is aten.convolution and args[6]:
        # A transposed convolution multiplies once for every input, any other for every output.
        return first.numel() * second[0].numel()
    if packet is aten.conv_tbc:
        return output.numel() * second[..., 0].numel()
    if packet is aten._trilinear:
        return len(first) * second.numel()
    if packet in (aten._cdist_forward, aten._euclidean_dist):
        return output.numel() * first.shape[-1]
    if packet in (aten._embedding_bag, aten._embedding_bag_forward_only):
        return second.numel() * first.shape[1]
    if packet is aten.convolution or packet not in FACTORS:
        return output.numel() * second[0].numel()
    return first.numel() * (second.shape[-1] if second.dim() > 1 else 1)


def _record(model: nn.Module, image: torch.Tensor, places: list[tuple[int, int, str]]) -> list[_Step]:
    stack = [""]
    recorder = _Recorder(stack, places)
    modes = {module: module.training for module in model.modules()}
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            before = module.register_forward_pre_hook(lambda *_, name=name: stack.append(name))
            after = module.register_forward_hook(lambda *_: stack.pop() and None, always_call=True)
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        try:
            with torch.enable_grad(), recorder:
                model.eval()(image)
        finally:
            for module, training in modes.items():
                module.training = training
    return recorder.found


@contextmanager
def gradients(model: nn.Module, wanted: bool) -> Generator[None]:
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(wanted)
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)


@contextmanager
def _plain() -> Generator[None]:
    """Attention and LSTMs as the products that they are made of, not as one kernel each."""
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with ExitStack() as stack, warnings.catch_warnings():
            # To turn it off, torch says something of GPUs that a machine may not have.
            warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN")
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _distinct(weight: torch.Tensor) -> torch.Tensor:
    """The numbers that a weight holds: once each where it is expanded, and real ones."""
    weight = torch.view_as_real(weight.resolve_conj()) if weight.is_complex() else weight
    return weight[tuple(slice(None) if step else slice(1) for step in weight.stride())]


def _places(model: nn.Module) -> list[tuple[int, int, str]]:
    """(first byte, last byte, name) of every parameter's values."""
    spans = []
    for name, parameter in model.named_parameters():
        first = parameter.data_ptr()
        spans.append((first, first + parameter.untyped_storage().nbytes(), name))
    return spans


def _parameter_of(weight: torch.Tensor | None, spans: list[tuple[int, int, str]]) -> str | None:
    if weight is None or weight.layout is not torch.strided:
        return None
    place = weight.data_ptr()
    return next((name for first, last, name in spans if first <= place < last), None)
