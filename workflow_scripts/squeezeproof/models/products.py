"""What a network multiplies its activations with, found in a pass and not by the kinds of its layers.

Only so are weights seen that are recomputed from other parameters (spectral_norm, weight_norm, standardised weights,
leftovers of torch.nn.utils.prune), shared, held bare (the projections of attention), or never used.
"""

import warnings
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
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
# Operation -> the places of its two factors among its arguments.
FACTORS = {
    aten.convolution: (0, 1),
    aten.mm: (0, 1),
    aten.bmm: (0, 1),
    aten.addmm: (1, 2),
    aten.baddbmm: (1, 2),
    aten.mv: (0, 1),
    aten.addmv: (1, 2),
}


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


def products(model: nn.Module, shape: Sequence[int]) -> list[Product]:
    """Every Product of a pass of the model over one image [1, *shape], in order of execution."""
    image = torch.zeros(1, *shape, device=device_of(model))
    with _plain():
        with _gradients(model, False):
            by_image = _record(model, image.requires_grad_(True))
        with _gradients(model, True):
            by_parameter = _record(model, image.detach())
    found = []
    for (module, macs, factors, of_image), (_, _, _, of_parameter) in zip(by_image, by_parameter, strict=True):
        if not any(of_image):
            continue
        weights = [
            factor for factor, moves, learned in zip(factors, of_image, of_parameter, strict=True)
            if learned and not moves
        ]  # fmt: skip
        found.append(Product(module, macs, weights[0] if weights else None))
    names = _places(model)
    return [replace(product, parameter=_parameter_of(product.weight, names)) for product in found]


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


class _Recorder(TorchDispatchMode):
    """Records (module, macs, factors, whether each takes a gradient) of every multiplication."""

    def __init__(self, stack: list[str]) -> None:
        super().__init__()
        self.stack, self.found = stack, []

    def __torch_dispatch__(  # ty: ignore[lost-keyword-for-regular-parameter]
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = operation(*args, **(kwargs or {}))
        places = FACTORS.get(operation.overloadpacket)
        if places is not None:
            first, second = factors = [args[place] for place in places]
            if operation.overloadpacket is aten.convolution:
                # A transposed convolution (args[6]) multiplies once for every input, any other for every output.
                macs = (first if args[6] else output).numel() * second[0].numel()
            else:
                macs = first.numel() * (second.shape[-1] if second.dim() > 1 else 1)
            flags = [factor.requires_grad for factor in factors]
            self.found.append((self.stack[-1], macs, [factor.detach() for factor in factors], flags))
        return output


def _record(model: nn.Module, image: torch.Tensor) -> list[tuple[str, int, list[torch.Tensor], list[bool]]]:
    stack = [""]
    recorder = _Recorder(stack)
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
    return [
        (module, macs, [factor.detach() for factor in factors], flags)
        for module, macs, factors, flags in recorder.found
    ]


@contextmanager
def _gradients(model: nn.Module, wanted: bool) -> Generator[None]:
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


def _places(model: nn.Module) -> list[tuple[int, int, str]]:
    """(first byte, last byte, name) of every parameter's values."""
    spans = []
    for name, parameter in model.named_parameters():
        first = parameter.data_ptr()
        spans.append((first, first + parameter.untyped_storage().nbytes(), name))
    return spans


def _parameter_of(weight: torch.Tensor | None, spans: list[tuple[int, int, str]]) -> str | None:
    if weight is None:
        return None
    place = weight.data_ptr()
    return next((name for first, last, name in spans if first <= place < last), None)
