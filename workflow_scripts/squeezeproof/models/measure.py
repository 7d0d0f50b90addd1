"""The size of a model: parameters, non-zeros, channels, MACs and bytes."""

import torch
from torch import nn


def measure(model, masks, shape):
    """Count what a model holds and does.

    Args:
        model: maps [N, *shape] to logits.
        masks: pruned parameter name -> bool tensor; empty for dense models.
        shape: (C, H, W) of one image.

    Returns a dictionary of ints: `parameters`; `nonzeros` among them; `channels`, the filters of all convolutions;
    `macs`, multiply-accumulates of convolutions and linear layers for one image, zeros counted (unstructured zeros
    save no time on CPUs and GPUs); `bytes` of the parameters in float32; `packed_bytes` with masked tensors stored
    as their non-zeros and one bit per position.
    """
    parameters = dict(model.named_parameters())
    packed = 0
    for name, parameter in parameters.items():
        kept = int(masks[name].sum()) if name in masks else parameter.numel()
        packed += 4 * kept + ((parameter.numel() + 7) // 8 if name in masks else 0)
    total = sum(parameter.numel() for parameter in parameters.values())
    return {
        "parameters": total,
        "nonzeros": sum(int(parameter.count_nonzero()) for parameter in parameters.values()),
        "channels": sum(module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)),
        "macs": sum(layer_macs(model, shape).values()),
        "bytes": 4 * total,
        "packed_bytes": packed,
    }


def layer_macs(model, shape):
    """Multiply-accumulates for one image of every convolution and linear layer by its name, in order of execution."""
    macs, hooks = {}, []

    def record(name):
        def hook(module, inputs, output):
            positions = output[0].numel() // len(module.weight)
            macs[name] = macs.get(name, 0) + module.weight.numel() * positions

        return hook

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            hooks.append(module.register_forward_hook(record(name)))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *shape, device=next(model.parameters()).device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return macs
