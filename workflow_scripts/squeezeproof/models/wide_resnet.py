"""Wide residual networks with pre-activation blocks."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

STEM = 16


class PreActivation(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and ReLU, beside a shortcut [he2016identity].

    Where the shape changes the shortcut is a 1x1 convolution of the activated input, as in the authors' code.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        activated = functional.relu(self.norm1(maps))
        shortcut = maps if self.shortcut is None else self.shortcut(activated)
        return shortcut + self.conv2(functional.relu(self.norm2(self.conv1(activated))))


def wrn(
    *, in_channels: int, num_classes: int, image_size: int, depth: int = 28, widen_factor: int = 4
) -> nn.Sequential:
    """WRN-`depth`-`widen_factor` [zagoruyko2016] without dropout.

    WRN-28-4 has 5,849,050 parameters for colour images and 10 classes. `depth` is 6n + 4, with n blocks in each of
    three groups of 16, 32 and 64 times `widen_factor` filters; the stem has 16. The stem does not shrink the image,
    whatever its size.
    """
    count, rest = divmod(depth - 4, 6)
    if rest or count < 1:
        raise ValueError(f"depth {depth} is not 6n + 4 with n of at least 1")
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False))
    channels = STEM
    for group, stride in enumerate((1, 2, 2)):
        blocks = []
        for index in range(count):
            outputs = STEM * 2**group * widen_factor
            blocks.append(PreActivation(channels, outputs, 1 if index else stride))
            channels = outputs
        layers[f"group{group + 1}"] = nn.Sequential(*blocks)
    layers["norm"], layers["relu"] = nn.BatchNorm2d(channels), nn.ReLU()
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["fc"] = nn.Linear(channels, num_classes)
    network = nn.Sequential(layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
