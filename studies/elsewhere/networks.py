"""The networks of studies/elsewhere*.yaml, as their own code makes them; they take pixels in [0, 1]."""

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


def normalized(*, in_channels, num_classes, image_size, filters):
    """Five convolutions of 3x3 with batch normalization, two of them with stride 2, and the mean over places."""
    first, second, third = filters
    layers, channels = [], in_channels
    for width, stride in [(first, 1), (second, 2), (second, 1), (third, 2), (third, 1)]:
        layers += [
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def student(*, in_channels, num_classes, image_size, filters=(16, 32, 48)):
    """A smaller network of another kind: three convolutions of 3x3 with stride 2, and the mean over places."""
    layers, channels = [], in_channels
    for width in filters:
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
