"""Files of networks that torch.ao quantized, and the lines of Python that give what can be read of them."""

from collections.abc import Collection
from pathlib import Path

from squeezeproof.models.quantizers import LOST, NETWORK, WRITTEN

# The ends of the names of what it keeps of a linear layer: weight and bias as they are computed with, and their type.
LAYER = "_packed_params._packed_params"
PACKED = (LAYER, "_packed_params.dtype")
# Those of what a network has that was quantized statically: how its inputs are rounded.
STATIC = ("quant.scale", "_input_scale_0")


def of_torch_ao(path: str | Path, names: Collection[str], convolutions: bool) -> str:
    """What to do about a state_dict, in words.

    Args:
        path: the file.
        names: of its entries.
        convolutions: whether it has quantized weights beside those of linear layers, as what was quantized statically.
    """
    floats = (
        f"    import torch\n"
        f"    held = torch.load({str(path)!r}, weights_only=True)\n"
        f"    # Where the file has several entries: held = held['model'], or another\n"
        f"    state = {{}}\n"
        f"    for name, value in held.items():\n"
        f"        if name.endswith({LAYER!r}):\n"
        f"            layer = name.removesuffix({LAYER!r})\n"
        f"            parts = zip(('weight', 'bias'), value)\n"
        f"            state |= {{layer + part: tensor for part, tensor in parts if tensor is not None}}\n"
        f"        elif torch.is_tensor(value) and 'zero_point' not in name:\n"
        f"            if name.replace('scale', 'zero_point') not in held.keys() - {{name}}:\n"
        f"                state[name] = value\n"
        f"    state = {{name: value.dequantize() if value.is_quantized else value for name, value in state.items()}}\n"
        f"    torch.save(state, {WRITTEN!r})\n"
        f"and name {WRITTEN} here. {LOST}"
    )
    if not convolutions and not any(name.endswith(STATIC) for name in names):
        return f"dynamically, which no ONNX file holds. Make floats of its weights:\n{floats}"
    return (
        f"statically. Export that network, `model` here, to ONNX:\n"
        f"    images = torch.zeros(1, 1, 28, 28)  # of the shape that it was made for\n"
        f"    named = {{'input_names': ['images'], 'output_names': ['scores']}}\n"
        f"    any_number = {{'dynamic_axes': {{'images': [0], 'scores': [0]}}}}\n"
        f"    torch.onnx.export(model, (images,), {NETWORK!r}, dynamo=False, opset_version=17, **named, **any_number)\n"
        f"and name {NETWORK} as the compressed model. Or make floats of its weights, which fit a network without batch "
        f"normalization where that was fused into other layers:\n{floats}"
    )
