"""The small chains of convolutions of Wang et al. (2018) and of [thorsteinsson2024]."""

from collections import OrderedDict

from torch import nn


def cnn3(*, in_channels: int, num_classes: int, image_size: int, width: int = 32) -> nn.Sequential:
    """CNN-3 of Wang et al. (2018): 178,986 parameters for 28x28 grey images, 10 classes and width 32."""
    side = _out(_out(_out(image_size, 8, 2, 3), 6, 2, 0), 5, 1, 0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, width, 8, stride=2, padding=3),
            relu1=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(width, 2 * width, 6, stride=2),
            relu2=nn.ReLU(inplace=True),
            conv3=nn.Conv2d(2 * width, 2 * width, 5),
            relu3=nn.ReLU(inplace=True),
            flatten=nn.Flatten(),
            fc=nn.Linear(2 * width * side * side, num_classes),
        )
    )


def cnn8(*, in_channels: int, num_classes: int, image_size: int, width: int = 32) -> nn.Sequential:
    """CNN-8 of [thorsteinsson2024]: 549,994 parameters for 28x28 grey images, 10 classes and width 32."""
    layers, channels = OrderedDict(), in_channels
    for index, (out, stride) in enumerate([(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2)], start=1):
        layers[f"conv{index}"] = nn.Conv2d(channels, out * width, 3, stride=stride, padding=1)
        layers[f"relu{index}"] = nn.ReLU(inplace=True)
        channels = out * width
        image_size = _out(image_size, 3, stride, 1)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(channels * image_size * image_size, 4 * width)
    layers["relu7"] = nn.ReLU(inplace=True)
    layers["fc2"] = nn.Linear(4 * width, num_classes)
    return nn.Sequential(layers)


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1
