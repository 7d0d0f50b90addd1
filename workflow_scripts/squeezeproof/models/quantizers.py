"""Files of tools that keep quantized weights in ways of their own, and the lines of Python that make floats of them."""

from collections.abc import Collection
from pathlib import Path

# What a person is told to write.
WRITTEN, NETWORK = "weights.pt", "model.onnx"
OF_TORCHAO = "torchao."
# The ends of the names of what optimum-quanto keeps: of a weight, packed where several numbers share a byte; of
# activations.
DATA, SCALE, ACTIVATIONS = "._data", "._scale", ("input_scale", "output_scale")
# What PT2E (torch.export and convert_pt2e) names the weights that it quantized, and its operators.
FROZEN, DECOMPOSED = "_frozen_param", b"quantized_decomposed"
LOST = "Quantized activations are floats in it"


def of_torchao(path: str | Path) -> str:
    """What to do about a state_dict with tensors of torchao, in words."""
    return (
        f"holds weights that torchao quantized. Make floats of them where torchao is installed and you trust the file, "
        f"as this runs its code:\n"
        f"    import torch\n"
        f"    model = torch.load({str(path)!r}, weights_only=False)\n"
        f"    state = model if isinstance(model, dict) else model.state_dict()\n"
        f"    state = {{name: tensor.dequantize() for name, tensor in state.items()}}\n"
        f"    torch.save(state, {WRITTEN!r})\n"
        f"and name {WRITTEN} here. {LOST}"
    )


def of_program(path: str | Path) -> str:
    """What to do about a program of torch.export that PT2E quantized, in words."""
    return (
        f"is a program of torch.export that PT2E quantized. Export it to ONNX, which needs the package onnxscript:\n"
        f"    import torch\n"
        f"    import torch.ao.quantization.fx._decomposed  # the operators of PT2E\n"
        f"    program = torch.export.load({str(path)!r})\n"
        f"    torch.onnx.export(program, f={NETWORK!r}, dynamo=True, external_data=False)\n"
        f"and name {NETWORK} as the compressed model"
    )


def quantized(path: str | Path, names: Collection[str]) -> str:
    """What to do about a state_dict with these names where a tool quantized it, in words; nothing where none did."""
    if any(name.rpartition(".")[2].startswith(FROZEN) for name in names):
        return (
            f"is of a network that PT2E quantized, which fits no other. Export that network, `model` here, to ONNX, "
            f"which needs the package onnxscript:\n"
            f"    images = torch.zeros(2, 1, 28, 28)  # of the shape that it was made for\n"
            f"    program = torch.export.export(model, (images,))\n"
            f"    torch.onnx.export(program, f={NETWORK!r}, dynamo=True, external_data=False)\n"
            f"and name {NETWORK} as the compressed model"
        )
    stems = [name.removesuffix(DATA) for name in names if name.endswith(DATA)]
    if not any(f"{stem.removesuffix(DATA)}{SCALE}" in names for stem in stems):
        return ""
    if any(stem.endswith(DATA) for stem in stems):
        return (
            f"holds weights that optimum-quanto quantized and packed. Make floats of them where the quantized network "
            f"is, `model` here:\n"
            f"    every = (*model.named_parameters(), *model.named_buffers())\n"
            f"    state = {{name: tensor.dequantize() for name, tensor in every if not name.endswith({ACTIVATIONS})}}\n"
            f"    torch.save(state, {WRITTEN!r})\n"
            f"and name {WRITTEN} here. {LOST}"
        )
    return (
        f"holds weights that optimum-quanto quantized. Make floats of them:\n"
        f"    import safetensors.torch, torch\n"
        f"    path = {str(path)!r}\n"
        f"    held = safetensors.torch.load_file(path) if path.endswith('.safetensors') else torch.load(path)\n"
        f"    # Where the file has several entries: held = held['model'], or another\n"
        f"    left_out = {(DATA, SCALE, *ACTIVATIONS)}\n"
        f"    state = {{name: tensor for name, tensor in held.items() if not name.endswith(left_out)}}\n"
        f"    for name in [name.removesuffix({DATA!r}) for name in held if name.endswith({DATA!r})]:\n"
        f"        state[name] = held[name + {DATA!r}].float() * held[name + {SCALE!r}]\n"
        f"    torch.save(state, {WRITTEN!r})\n"
        f"and name {WRITTEN} here. {LOST}"
    )
