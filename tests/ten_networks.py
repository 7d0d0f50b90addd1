"""Networks as people write them, of the study in test_ten_networks.py; for images [N, 1, 16, 16]."""

from torch import nn
from torch.nn import functional

SIZE = 16


class Plain(nn.Module):
    """Two convolutions with batch normalisation; the linear layer takes the maps channels last, as exported ones do."""

    def __init__(self, classes):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(2))
        self.fc = nn.Linear(16 * 64, classes)

    def maps(self, pixels):
        maps = functional.relu(self.norms[0](self.stem(pixels)))
        return functional.relu(self.norms[1](self.conv(maps)))

    def forward(self, pixels):
        return self.fc(self.maps(pixels).permute(0, 2, 3, 1).flatten(1))


class Excited(Plain):
    """Squeeze-and-excitation [hu2018]."""

    def __init__(self, classes):
        super().__init__(classes)
        self.squeeze, self.excite = nn.Linear(16, 8), nn.Linear(8, 16)

    def maps(self, pixels):
        maps = super().maps(pixels)
        gates = self.excite(functional.relu(self.squeeze(maps.mean((2, 3))))).sigmoid()
        return maps * gates[:, :, None, None]


class Depthwise(Plain):
    """A depthwise convolution and a pointwise one."""

    def __init__(self, classes):
        super().__init__(classes)
        self.depthwise, self.pointwise = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 16, 1)

    def maps(self, pixels):
        return functional.relu(self.pointwise(functional.relu(self.depthwise(super().maps(pixels)))))

    def forward(self, pixels):
        return self.fc(self.maps(pixels).flatten(1))


class Rolled(Plain):
    """Every channel goes on as its neighbour."""

    def maps(self, pixels):
        maps = functional.relu(self.norms[0](self.stem(pixels))).roll(1, 1)
        return functional.relu(self.norms[1](self.conv(maps)))


class Spectral(Plain):
    """The convolved weight is computed from the parameter, by spectral normalisation."""

    def __init__(self, classes):
        super().__init__(classes)
        self.conv = nn.utils.parametrizations.spectral_norm(self.conv)


def make(*, kind, in_channels, num_classes, image_size):
    assert (in_channels, image_size) == (1, SIZE)
    return {network.__name__: network for network in (Plain, Excited, Depthwise, Rolled, Spectral)}[kind](num_classes)
