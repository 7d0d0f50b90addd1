"""VGG-19 with one linear layer, as it is used for small images."""

from collections import OrderedDict

from torch import nn

# Number of 3x3 convolutions before each of the five pools, and their filters in multiples of the first one's.
STAGES = [(2, 1), (2, 2), (4, 4), (4, 8), (4, 8)]


def vgg19(*, in_channels: int, num_classes: int, image_size: int, width: int = 64) -> nn.Sequential:
    """VGG-19 [simonyan2015]: 20,029,514 parameters for colour images and 10 classes.

    The convolutions and pools are the paper's (configuration E). Their maps are averaged and one linear layer follows,
    as is usual for small images, instead of the paper's three with 4096 units, which would hold six times as many
    parameters as the convolutions. A pool keeps the last row and column of a map of odd size, so that 28x28 images
    can be halved five times, too. `width` is the number of filters of the first convolution (64 in the paper).
    """
    return _vgg(in_channels, num_classes, width, batch_norm=False)


def vgg19_bn(*, in_channels: int, num_classes: int, image_size: int, width: int = 64) -> nn.Sequential:
    """`vgg19` with batch normalisation after every convolution: 20,040,522 parameters, as torchvision's variant."""
    return _vgg(in_channels, num_classes, width, batch_norm=True)


def _vgg(in_channels: int, num_classes: int, width: int, *, batch_norm: bool) -> nn.Sequential:
    layers, channels = [], in_channels
    for count, multiple in STAGES:
        for _ in range(count):
            conv = nn.Conv2d(channels, multiple * width, 3, padding=1)
            # By the inputs, not the outputs as in torchvision: without normalisation the signal would fade.
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.get_parameter("bias"))
            channels = multiple * width
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [conv, nn.ReLU()]
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*layers),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(channels, num_classes),
        )
    )
