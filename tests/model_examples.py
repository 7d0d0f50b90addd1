"""Networks, training settings and data that the tests of models, training, compression and checkpoints share."""

from functools import cache

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.models.build import build, specification
from squeezeproof.study.trainings import Training

CLASSES = 10


def spec_of(kind, *, channels=1, size=8, normalization="dataset", classes=CLASSES, **settings):
    """The specification of a model on a data set of `classes` classes of images [channels, size, size]."""
    dataset = {
        "shape": [channels, size, size],
        "classes": [str(index) for index in range(classes)],
        "mean": [0.3] * channels,
        "std": [0.4] * channels,
    }
    return specification({"kind": kind, "normalization": normalization, **settings}, dataset)


def custom_spec(factory, *, channels=1, size=8, **arguments):
    """The specification of a network of this module."""
    return spec_of("custom", channels=channels, size=size, factory=f"{__name__}:{factory}", arguments=arguments)


def depthwise_separable(*, in_channels, num_classes, image_size, width=8):
    """MobileNetV1 in small: pairs of a depthwise and a pointwise convolution, each with batch normalisation."""

    def pair(inputs, outputs):
        return [
            *(nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU()),
            *(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()),
        ]

    stem = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, num_classes)]
    return nn.Sequential(*stem, *pair(width, width), *pair(width, 2 * width), *head)


def flattened(*, in_channels, num_classes, image_size, width=8):
    """A feature map flattened into a hidden linear layer: one filter stands for many of its columns."""
    side = image_size // 2
    return nn.Sequential(
        *(nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(2 * width * side * side, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, num_classes)),
    )


def all_convolutional(*, in_channels, num_classes, image_size, width=8):
    """SqueezeNet's ending: the classes are the filters of the last convolution."""
    return nn.Sequential(
        *(nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU()),
        *(nn.Conv2d(width, num_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


class Concatenated(nn.Module):
    """DenseNet in small: every layer sees all maps before it, batch normalisation first."""

    def __init__(self, *, in_channels, num_classes, image_size, width=8):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width * count) for count in (1, 2, 3))
        self.convs = nn.ModuleList(nn.Conv2d(width * count, width, 3, padding=1, bias=False) for count in (1, 2))
        self.transition = nn.Conv2d(3 * width, 2 * width, 1, bias=False)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, pixels):
        maps = self.stem(pixels)
        for norm, conv in zip(self.norms, self.convs, strict=False):
            maps = torch.cat([maps, conv(functional.relu(norm(maps)))], 1)
        maps = functional.relu(self.transition(functional.relu(self.norms[-1](maps))))
        return self.fc(maps.mean((2, 3)))


class Residual(nn.Module):
    """A block with an identity shortcut, one with a projection, and a squeeze-and-excitation gate between them."""

    def __init__(self, *, in_channels, num_classes, image_size, width=8):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.first = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.gate = nn.Sequential(nn.Linear(width, 4), nn.ReLU(), nn.Linear(4, width), nn.Sigmoid())
        self.second = nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width))
        self.projection = nn.Conv2d(width, 2 * width, 1)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, pixels):
        maps = functional.relu(self.stem(pixels))
        maps = functional.relu(maps + self.first(maps))
        maps = maps * self.gate(maps.mean((2, 3)))[:, :, None, None]
        maps = functional.relu(self.second(maps) + self.projection(maps))
        return self.fc(maps.mean((2, 3)))


EXAMPLES = {
    "cnn3": spec_of("cnn3", size=28, width=4),
    "cnn8": spec_of("cnn8", width=4),
    "resnet18": spec_of("resnet18", channels=3, width=8),
    "resnet34": spec_of("resnet34", channels=3, width=4),
    "resnet50": spec_of("resnet50", channels=3, width=4),
    "wrn": spec_of("wrn", channels=3, depth=10, widen_factor=1),
    "densenet121": spec_of("densenet121", channels=3, growth=4, blocks=[2, 2]),
    "vgg19": spec_of("vgg19", channels=3, size=32, width=4),
    "vgg19_bn": spec_of("vgg19_bn", channels=3, size=32, width=4),
    "mobilenet_v1": spec_of("mobilenet_v1", channels=3, size=32, width=4),
    "mobilenet_v2": spec_of("mobilenet_v2", channels=3, size=16, width=8),
    "depthwise_separable": custom_spec("depthwise_separable"),
    "flattened": custom_spec("flattened"),
    "all_convolutional": custom_spec("all_convolutional"),
    "concatenated": custom_spec("Concatenated"),
    "residual": custom_spec("Residual", channels=3),
}


def shape_of(spec):
    return (spec["in_channels"], spec["image_size"], spec["image_size"])


def model_of(spec, seed=0):
    """The model of a specification in eval mode, its batch normalisation as if trained."""
    model = build(spec, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
    return model


def pixels_of(spec, count=3):
    return torch.rand(count, *shape_of(spec), generator=torch.Generator().manual_seed(1))


def assert_same_tensors(first, second):
    """Two state dictionaries hold the same names with the same bits."""
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def training(epochs=1, **settings):
    """Checked settings of a training: the defaults and these."""
    defaults = Training.defaults()
    assert settings.keys() <= defaults.keys()
    return {**defaults, "epochs": epochs, **settings}


@cache
def digits():
    """scikit-learn's handwritten digits: uint8 images [1797, 1, 8, 8] and int64 labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return torch.from_numpy((found.images * 255 / 16).round()).to(torch.uint8)[:, None], torch.from_numpy(found.target)


def split(start, stop):
    """(images, labels) of some of the digits."""
    images, labels = digits()
    return images[start:stop], labels[start:stop]


def tiny_vit(*, in_channels, num_classes, image_size):
    """torchvision's vision transformer with two blocks of four heads."""
    from torchvision.models import VisionTransformer

    network = VisionTransformer(image_size, 4, 2, 4, 16, 32, num_classes=num_classes)
    network.conv_proj = nn.Conv2d(in_channels, 16, 4, 4)
    nn.init.normal_(network.heads.head.weight)
    return network


def tiny_swin(*, in_channels, num_classes, image_size):
    """torchvision's swin transformer with two stages of one block."""
    from torchvision.models import SwinTransformer

    network = SwinTransformer([2, 2], 16, [1, 1], [2, 4], [2, 2], num_classes=num_classes)
    network.features[0][0] = nn.Conv2d(in_channels, 16, 2, 2)
    return network
