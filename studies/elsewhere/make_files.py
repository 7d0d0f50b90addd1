"""Makes the models of studies/elsewhere.yaml without the workflow, as people make theirs, in data/elsewhere/.

    mkdir -p data/raw                          # FashionMNIST/raw lies there, or is downloaded into it
    python -m studies.elsewhere.make_files     # from the repository's root
    python -m venv tf && tf/bin/pip install tensorflow-cpu==2.21.0
    tf/bin/python studies/elsewhere/make_tflite.py

`base` is adversarially trained (PGD of 3 steps, eps 0.1). What follows is what the tools' own examples do, and knows
nothing of attacks: half of the filters of every layer pruned by torch-pruning, and an epoch of training; a small
network that is distilled from the base; ONNX Runtime's static quantization. make_tflite.py has TensorFlow's.
"""

from pathlib import Path

import numpy as np
import torch
import torch_pruning
from onnxruntime import quantization
from safetensors.torch import save_file
from torch.nn import functional
from torchvision.datasets import FashionMNIST

from studies.elsewhere.networks import chain, student

FOLDER = Path("data/elsewhere")
SHAPE = {"in_channels": 1, "num_classes": 10, "image_size": 28}
IMAGES, CALIBRATION, BATCH = 20_000, 500, 100
EPS, STEPS = 0.1, 3
# Of the distillation: how soft the teacher's answers are, and their share of the loss.
TEMPERATURE, SHARE = 4, 0.7


def data():
    """The first training images, float32 [N, 1, 28, 28] in [0, 1], and their labels."""
    files = FashionMNIST("data/raw", train=True, download=True)
    return files.data[:IMAGES, None].float() / 255, files.targets[:IMAGES]


def train(model, images, labels, *, epochs, rate, loss):
    """Train in place by Adam on loss(model, images, labels), the learning rate falling to 0 along a cosine."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(images) // BATCH)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss(model, images[batch], labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def plain(model, images, labels):
    """Cross-entropy on the images as they are."""
    return functional.cross_entropy(model(images), labels)


def adversarial(model, images, labels):
    """Cross-entropy on examples that PGD makes from a random start."""
    points = (images + torch.empty_like(images).uniform_(-EPS, EPS)).clamp(0, 1)
    for _ in range(STEPS):
        points.requires_grad_()
        gradient = torch.autograd.grad(plain(model, points, labels), points)[0]
        points = points.detach() + 2 * EPS / STEPS * gradient.sign()
        points = torch.min(torch.max(points, images - EPS), images + EPS).clamp(0, 1)
    return plain(model, points, labels)


def distilled_from(teacher):
    """The loss of a distillation: cross-entropy, and what the softened answers of a teacher say."""

    def loss(model, images, labels):
        logits = model(images)
        with torch.no_grad():
            aims = functional.softmax(teacher(images) / TEMPERATURE, 1)
        soft = functional.cross_entropy(logits / TEMPERATURE, aims) * TEMPERATURE**2
        return SHARE * soft + (1 - SHARE) * functional.cross_entropy(logits, labels)

    return loss


def pruned(base, images, labels):
    """A network of half the filters in every layer, those of the largest L1 norm, after an epoch of training."""
    model = chain(**SHAPE, filters=(32, 64, 64))
    model.load_state_dict(base.state_dict())
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=1)
    pruner = torch_pruning.pruner.BasePruner(
        model, images[:1], importance=importance, pruning_ratio=0.5, ignored_layers=[model[-1]]
    )
    pruner.step()
    return train(model, images, labels, epochs=1, rate=1e-3, loss=plain)


class Calibration(quantization.CalibrationDataReader):
    """The images that ONNX Runtime takes the ranges of activations from."""

    def __init__(self, images):
        self.batches = iter([{"pixels": batch.numpy()} for batch in images.split(BATCH)])

    def get_next(self):
        return next(self.batches, None)


def quantize(model, images):
    """int8.onnx, quantized statically per channel: 8-bit weights and activations between QuantizeLinear nodes."""
    whole, target = FOLDER / "base.onnx", FOLDER / "int8.onnx"
    torch.onnx.export(
        model, (images[:1],), whole, input_names=["pixels"], output_names=["logits"], dynamo=False,
        dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}},
    )  # fmt: skip
    quantization.quantize_static(
        whole, target, Calibration(images), quant_format=quantization.QuantFormat.QDQ, per_channel=True
    )


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    images, labels = data()
    base = train(chain(**SHAPE, filters=(32, 64, 64)), images, labels, epochs=8, rate=1e-3, loss=adversarial)
    small = train(student(**SHAPE), images, labels, epochs=6, rate=2e-3, loss=distilled_from(base))
    for name, model in {"base": base, "pruned": pruned(base, images, labels), "student": small}.items():
        save_file(model.state_dict(), FOLDER / f"{name}.safetensors")
    quantize(base, images[:CALIBRATION])
    weights = {name: tensor.numpy() for name, tensor in base.state_dict().items()}
    np.savez(FOLDER / "for_tensorflow.npz", images=images[:CALIBRATION].numpy(), **weights)


if __name__ == "__main__":
    main()
