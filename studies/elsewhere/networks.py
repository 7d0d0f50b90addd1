"""The networks of studies/elsewhere.yaml, as their own code makes them; they take pixels in [0, 1]."""

from torch import nn


def chain(*, in_channels, num_classes, image_size, filters):
    """Three convolutions and a linear layer, those of CNN-3 with 32, 64 and 64 `filters`."""
    first, second, third = filters
    side = ((image_size - 2) // 2 + 1 - 6) // 2 + 1 - 4
    return nn.Sequential(
        nn.Conv2d(in_channels, first, 8, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv2d(first, second, 6, stride=2),
        nn.ReLU(),
        nn.Conv2d(second, third, 5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(third * side * side, num_classes),
    )


def student(*, in_channels, num_classes, image_size):
    """A smaller network of another kind: three convolutions of 3x3 with stride 2, and the mean over places."""
    layers, channels = [], in_channels
    for filters in (16, 32, 48):
        layers += [nn.Conv2d(channels, filters, 3, stride=2, padding=1), nn.ReLU()]
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
