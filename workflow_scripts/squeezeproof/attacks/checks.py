"""Checks of crafted points and of the source's logits, made before anything is kept."""

import torch
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.checked import AttackSettings
from squeezeproof.errors import OfModel
from squeezeproof.norms import Norm
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Images

SLACK = 1e-6
BATCH = 50
MANY = 64
# What autograd calls products, and what leaves sums of products sums of products.
PRODUCTS = {"Addmm", "Mm", "Addmv", "Mv", "Bmm", "Baddbmm", "Convolution", "NativeBatchNorm", "CudnnBatchNorm"}
SUMS = {
    *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "T", "Permute", "Expand", "Slice"),
    *("Select", "Alias", "Clone", "ToCopy", "Cat", "Stack", "Add", "Sub", "Sum", "Mean", "AvgPool2D"),
}


def check_inside(clean: torch.Tensor, points: torch.Tensor, eps: float | None, norm: Norm) -> None:
    """Raise OfModel unless every point is finite, in the box and, with eps a number, in the ball, in float32."""
    if points.dtype != torch.float32 or points.shape != clean.shape:
        told, wanted = (f"{str(of.dtype)[6:]} {list(of.shape)}" for of in (points, clean))
        raise OfModel(f"the attack returned {told} for {wanted}; let it return pixels like its inputs")
    if not torch.isfinite(points).all():
        raise OfModel("the attack returned pixels that are not finite; it divides by zero, or leaves the numbers")
    if points.min() < 0 or points.max() > 1:
        raise OfModel("the attack left the box [0, 1]; let it end with .clamp(0, 1)")
    longest = norms(points - clean, norm).max().item()
    if eps is not None and longest > eps + SLACK * max(1.0, eps):
        raise OfModel(
            f"the attack left its ball: a perturbation of {norm} norm {longest:.8f} for eps {eps:.8f}; let it end with "
            f"project(points, inputs, eps, norm) of squeezeproof.attacks.ball"
        )


def check_stored(stored: Images, images: Images, settings: AttackSettings, rows: range | None = None) -> None:
    """Raise OfModel unless every example of a set, read back from its file, is inside the ball and the box.

    `images` are those of the whole split; `rows` is the range of those that the set is of, None for all.
    """
    rows = rows or range(len(images))
    for first in range(0, len(rows), BATCH):
        chunk = rows[first : first + BATCH]
        clean = to_pixels(images[chunk.start : chunk.stop], "cpu")
        points = to_pixels(stored[first : first + BATCH], "cpu")
        check_inside(clean, points, settings["eps"], settings["norm"])


def check_logits(logits: torch.Tensor, model: nn.Module | None = None, points: torch.Tensor | None = None) -> None:
    """Raise OfModel where a model's outputs are not finite, or probabilities instead of logits.

    Args:
        model, points: what gave the outputs, and for which pixels. A network that was hardly trained may have all its
            logits between 0 and 1; it is not taken for one that ends in a sigmoid where a product comes last.
    """
    if (logits.isneginf() | logits.isfinite()).all() and logits.isneginf().any():
        number = int(logits.isneginf().any(0).nonzero()[0])
        raise OfModel(f"the logits of class {number} are -inf; mask it by a large negative number, such as -1e9")
    if not torch.isfinite(logits).all():
        raise OfModel("the model's logits are not finite: its weights or its input are broken")
    if logits.min() >= 0 and (logits.sum(1) - 1).abs().max() < 1e-4:
        raise OfModel("the model returns probabilities, attacks need logits: remove its softmax")
    if logits.min() >= 0 and (whole := _one_sum(logits)):
        raise OfModel(
            f"the model returns probabilities of sum {whole:.4g}, attacks need logits: remove its softmax and what "
            f"scales it"
        )
    # A sigmoid is never 0.
    within = logits.numel() >= MANY and logits.min() > 0 and logits.max() <= 1
    if within and not (model is not None and points is not None and _ends_in_products(model, points)):
        raise OfModel("the model returns probabilities, attacks need logits: remove its sigmoid")


def _one_sum(logits: torch.Tensor) -> float | None:
    """The sum of the outputs [N, K] of every example where it is one, and the outputs of many examples are several."""
    sums = logits.double().sum(1)
    alike = logits.numel() >= MANY and len(sums) > 2 and (sums - sums[0]).abs().max() < 1e-5 * sums[0]
    return sums[0].item() if alike and (logits - logits[0]).abs().max() > 1e-3 * sums[0] else None


def _ends_in_products(model: nn.Module, points: torch.Tensor) -> bool:
    """Whether autograd sees that the outputs of a model are sums of products; False where it sees nothing."""
    with torch.enable_grad():
        steps = [model(points[:2].detach().clone().requires_grad_(True)).grad_fn]
    reached = False
    while steps:
        step = steps.pop()
        # Parameters, and numbers that no gradient flows to.
        if step is None or step.name().endswith("AccumulateGrad"):
            continue
        name = step.name().partition("Backward")[0]
        if name in PRODUCTS:
            reached = True
        elif name in SUMS:
            steps += [following for following, _ in step.next_functions]
        else:
            return False
    return reached
