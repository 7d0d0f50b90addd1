"""Makes the models of a study of studies/elsewhere*.yaml without the workflow, as people make theirs, in data/{study}/.

    mkdir -p data/raw      # FashionMNIST/raw lies there, or is downloaded into it; cifar10_jpeg/train lies there
    python -m studies.elsewhere.make_files elsewhere        # or elsewhere_cifar10_jpeg; from the repository's root
    python -m venv tf && tf/bin/pip install tensorflow-cpu==2.21.0
    tf/bin/python studies/elsewhere/make_tflite.py elsewhere

`base` is adversarially trained. What follows is what the tools' own examples do, and knows nothing of attacks: half of
the filters of every layer pruned by torch-pruning, and training after it; a small network that is distilled from the
base; ONNX Runtime's static quantization. make_tflite.py has TensorFlow's.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch_pruning
from onnxruntime import quantization
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.datasets import FashionMNIST, ImageFolder
from torchvision.transforms.functional import pil_to_tensor

from studies.elsewhere.networks import chain, normalized, student

CALIBRATION, BATCH = 500, 100
# Of the distillation: how soft the teacher's answers are, and their share of the loss.
TEMPERATURE, SHARE = 4, 0.7


def fashion_mnist():
    """The first 20,000 training images, float32 [N, 1, 28, 28] in [0, 1], and their labels."""
    files = FashionMNIST("data/raw", train=True, download=True)
    return files.data[:20_000, None].float() / 255, files.targets[:20_000]


def cifar10_jpeg():
    """All 50,000 training images in a random order, float32 [N, 3, 32, 32] in [0, 1], and their labels."""
    files = ImageFolder("data/raw/cifar10_jpeg/train", transform=pil_to_tensor)
    order = torch.randperm(len(files))
    return torch.stack([image for image, _ in files])[order].float() / 255, torch.tensor(files.targets)[order]


@dataclass(frozen=True)
class Recipe:
    """What a study's models are made of: epochs of the base, of the pruned network and of the student."""

    data: Callable[[], tuple[Tensor, Tensor]]
    base: Callable[..., nn.Module]
    filters: tuple[int, int, int]
    student: tuple[int, int, int]
    rate: float
    epochs: tuple[int, int, int]
    bfloat16: bool
    # Of the adversarial training, in pixels of [0, 1].
    eps: float
    steps: int
    alpha: float


RECIPES = {
    "elsewhere": Recipe(
        data=fashion_mnist, base=chain, filters=(32, 64, 64), student=(16, 32, 48),
        rate=1e-3, epochs=(8, 1, 6), bfloat16=False, eps=0.1, steps=3, alpha=0.2 / 3,
    ),
    "elsewhere_cifar10_jpeg": Recipe(
        data=cifar10_jpeg, base=normalized, filters=(16, 32, 64), student=(24, 48, 64),
        rate=3e-3, epochs=(5, 1, 3), bfloat16=True, eps=4 / 255, steps=1, alpha=5 / 255,
    ),
}  # fmt: skip


def train(model, images, labels, *, epochs, rate, loss, bfloat16):
    """Train in place by Adam on loss(model, images, labels), the learning rate falling to 0 along a cosine."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(images) // BATCH)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                value = loss(model, images[batch], labels[batch])
            value.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def plain(model, images, labels):
    """Cross-entropy on the images as they are."""
    return functional.cross_entropy(model(images), labels)


def adversarial(recipe):
    """Cross-entropy on examples that PGD makes from a random start."""

    def loss(model, images, labels):
        points = (images + torch.empty_like(images).uniform_(-recipe.eps, recipe.eps)).clamp(0, 1)
        for _ in range(recipe.steps):
            points.requires_grad_()
            gradient = torch.autograd.grad(plain(model, points, labels), points)[0]
            points = points.detach() + recipe.alpha * gradient.sign()
            points = torch.min(torch.max(points, images - recipe.eps), images + recipe.eps).clamp(0, 1)
        return plain(model, points, labels)

    return loss


def distilled_from(teacher):
    """The loss of a distillation: cross-entropy, and what the softened answers of a teacher say."""

    def loss(model, images, labels):
        logits = model(images)
        with torch.no_grad():
            aims = functional.softmax(teacher(images) / TEMPERATURE, 1)
        soft = functional.cross_entropy(logits / TEMPERATURE, aims) * TEMPERATURE**2
        return SHARE * soft + (1 - SHARE) * functional.cross_entropy(logits, labels)

    return loss


def halved(model, images):
    """The model without half the filters of every layer: those of the largest L1 norm stay."""
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=1)
    pruner = torch_pruning.pruner.BasePruner(
        model, images[:1], importance=importance, pruning_ratio=0.5, ignored_layers=[model[-1]]
    )
    pruner.step()
    return model


class Calibration(quantization.CalibrationDataReader):
    """The images that ONNX Runtime takes the ranges of activations from."""

    def __init__(self, images):
        self.batches = iter([{"pixels": batch.numpy()} for batch in images.split(BATCH)])

    def get_next(self):
        return next(self.batches, None)


def quantize(model, images, folder):
    """int8.onnx, quantized statically per channel: 8-bit weights and activations between QuantizeLinear nodes."""
    whole, target = folder / "base.onnx", folder / "int8.onnx"
    torch.onnx.export(
        model, (images[:1],), whole, input_names=["pixels"], output_names=["logits"], dynamo=False,
        dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}},
    )  # fmt: skip
    quantization.quantize_static(
        whole, target, Calibration(images), quant_format=quantization.QuantFormat.QDQ, per_channel=True
    )


def write_for_tensorflow(model, images, file):
    """What make_tflite.py builds the model of: the layers' weights, batch normalization in them, and the images."""
    layers = list(model)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[place - 1] = fuse_conv_bn_eval(layers[place - 1], layer)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    arrays = {}
    for number, layer in enumerate([*convolutions, layers[-1]]):
        arrays |= {f"{number}.weight": layer.weight.detach(), f"{number}.bias": layer.bias.detach()}
    strides, paddings = ([getattr(layer, name)[0] for layer in convolutions] for name in ("stride", "padding"))
    np.savez(file, images=images.numpy(), strides=strides, paddings=paddings, **arrays)


def make(recipe, images, labels):
    """The base, the pruned network and the student, trained."""
    shape = {"in_channels": images.shape[1], "num_classes": 10, "image_size": images.shape[2]}

    def trained(model, epochs, rate, loss):
        return train(model, images, labels, epochs=epochs, rate=rate, loss=loss, bfloat16=recipe.bfloat16)

    for_base, for_pruned, for_student = recipe.epochs
    base = trained(recipe.base(**shape, filters=recipe.filters), for_base, recipe.rate, adversarial(recipe))
    small = trained(student(**shape, filters=recipe.student), for_student, 2e-3, distilled_from(base))
    pruned = recipe.base(**shape, filters=recipe.filters)
    pruned.load_state_dict(base.state_dict())
    return {"base": base, "pruned": trained(halved(pruned, images), for_pruned, 1e-3, plain), "student": small}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=RECIPES)
    study = parser.parse_args().study
    recipe, folder = RECIPES[study], Path("data") / study
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = recipe.data()
    models = make(recipe, images, labels)
    for name, model in models.items():
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    quantize(models["base"], images[:CALIBRATION], folder)
    write_for_tensorflow(models["base"], images[:CALIBRATION], folder / "for_tensorflow.npz")


if __name__ == "__main__":
    main()
