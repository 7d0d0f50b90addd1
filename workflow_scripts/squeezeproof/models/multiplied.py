"""Products that a network's own code asks of functional.conv2d and functional.linear; a hack: modules change class.

A layer of torch is a module, and what is fed to it is seen and rounded there. A `forward` that calls the function
itself, with a parameter that it holds, has no such place: convolutions that pad their maps on the way, as those of
timm, and weights held bare. Here every parameter that is used so gets a module of its own, through which its calls go.
"""

from collections.abc import Collection
from contextlib import ExitStack
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

FUNCTIONS = (functional.conv2d, functional.linear)
# Of the name of a Product: what follows is the path of its parameter from the module that holds it.
PREFIX, SEPARATOR = "product_", ":"


class Product(nn.Module):
    """The calls of a function of FUNCTIONS with one parameter of a module; has none of its own.

    Attributes:
        weight: the parameter, which stays where it is.
        weight_quantizer, input_quantizer: what the factors pass.
    """

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def __init__(self, owner: nn.Module, path: str) -> None:
        super().__init__()
        # No submodule: it would hold itself.
        self.owner, self.path = (owner,), path
        self.weight_quantizer, self.input_quantizer = nn.Identity(), nn.Identity()

    @property
    def weight(self) -> nn.Parameter:
        return self.owner[0].get_parameter(self.path)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "weight":
            return super().__setattr__(name, value)
        holder, _, attribute = self.path.rpartition(".")
        setattr(self.owner[0].get_submodule(holder), attribute, value)

    def forward(self, fed: torch.Tensor, function: Any, *others: Any, **options: Any) -> torch.Tensor:
        return function(self.input_quantizer(fed), self.weight_quantizer(self.weight), *others, **options)


class _Routed(TorchFunctionMode):
    """Sends the calls of FUNCTIONS with a weight of `products`, by its id, through the Product."""

    def __init__(self, products: dict[int, Product]) -> None:
        super().__init__()
        self.products = products

    # torch passes them by place.
    def __torch_function__(  # ty: ignore[lost-keyword-for-regular-parameter]
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FUNCTIONS:
            fed, weight, others, options = _arguments(*args, **(kwargs or {}))
            product = self.products.get(id(weight))
            if product is not None:
                return product(fed, function, *others, **options)
        return function(*args, **(kwargs or {}))


class _Watched(TorchFunctionMode):
    """Notes in `found` (owner, path of the parameter) of every call of FUNCTIONS with a parameter that the innermost
    running module holds, or a part of it that is not running; `running` are the modules from outside to inside."""

    def __init__(self, running: list[nn.Module], apart: Collection[nn.Module]) -> None:
        super().__init__()
        self.running, self.apart, self.found = running, apart, {}

    def __torch_function__(  # ty: ignore[lost-keyword-for-regular-parameter]
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FUNCTIONS and self.running and self.running[-1] not in self.apart:
            _, weight, _, _ = _arguments(*args, **(kwargs or {}))
            owner = self.running[-1]
            held = owner.named_parameters(remove_duplicate=False)
            path = next((path for path, parameter in held if parameter is weight), None)
            if path is not None:
                self.found[owner, path] = None
        return function(*args, **(kwargs or {}))


def _arguments(input: Any, weight: Any, *others: Any, **options: Any) -> tuple[Any, Any, Any, Any]:
    return input, weight, others, options


def open_products(model: nn.Module, pixels: torch.Tensor, apart: Collection[nn.Module]) -> list[str]:
    """Let the modules of a model call a Product for every parameter that they multiply with by FUNCTIONS; in place.

    Args:
        pixels: images of a pass in eval mode that shows which those are.
        apart: modules that are left as they are.

    Returns the names of the Products. The model computes the same.
    """
    running: list[nn.Module] = []
    watched = _Watched(running, apart)
    modes = {module: module.training for module in model.modules()}
    with ExitStack() as hooks, torch.no_grad():
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(lambda module, _: running.append(module)).remove)
            after = module.register_forward_hook(lambda *_: running.pop() and None, always_call=True)
            hooks.callback(after.remove)
        try:
            with watched:
                model.eval()(pixels)
        finally:
            for module, training in modes.items():
                module.training = training
    names = {module: name for name, module in model.named_modules()}
    return [open_product(model, f"{names[owner]}.{_name(path)}".removeprefix(".")) for owner, path in watched.found]


def open_product(model: nn.Module, name: str) -> str:
    """Let the module of a model call the Product of this name, which is made; returns the name.

    Raises AttributeError where the module holds no such parameter, or has something else of that name.
    """
    holder, _, own = name.rpartition(".")
    owner = model.get_submodule(holder)
    path = own.removeprefix(PREFIX).replace(SEPARATOR, ".")
    owner.get_parameter(path)
    if not own.startswith(PREFIX) or hasattr(owner, own):
        raise AttributeError(f"{name} is no product of a parameter, or there is one already")
    owner.add_module(own, Product(owner, path))
    if not isinstance(owner, _Routing):
        owner.__class__ = _routing(type(owner))
    return name


def is_product(name: str) -> bool:
    """Whether a module of this name is a Product."""
    return name.rpartition(".")[2].startswith(PREFIX)


def parameter_of(model: nn.Module, name: str) -> str:
    """The name of the weight that a layer, or a Product, of this name multiplies with."""
    holder, _, own = name.rpartition(".")
    path = own.removeprefix(PREFIX).replace(SEPARATOR, ".")
    return f"{holder}.{path}".removeprefix(".") if is_product(name) else f"{name}.weight"


def _name(path: str) -> str:
    return PREFIX + path.replace(".", SEPARATOR)


class _Routing:
    """What classes of `_routing` are told by."""


@cache
def _routing(kind: Any) -> type[nn.Module]:
    """The class of modules whose calls go through their Products."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        products = [child for child in self.children() if isinstance(child, Product)]
        with _Routed({id(product.weight): product for product in products}):
            return kind.forward(self, *args, **kwargs)

    return type(kind.__name__, (_Routing, kind), {"forward": forward})
