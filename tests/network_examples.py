"""Networks as people write them."""

import random
import warnings

import torch
from torch import nn
from torch.nn import functional

SHAPE = (1, 8, 8)


class Plain(nn.Module):
    """Convolution, batch normalisation, ReLU, linear layer."""

    def __init__(self, **_):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6 * 64, 10)

    def maps(self, pixels):
        return functional.relu(self.norm(self.conv(pixels)))

    def forward(self, pixels):
        return self.fc(self.maps(pixels).flatten(1))


class Viewed(Plain):
    def forward(self, pixels):
        maps = self.maps(pixels)
        return self.fc(maps.view(maps.size(0), -1))


class Counted(Plain):
    def forward(self, pixels):
        return self.fc(self.maps(pixels).reshape(len(pixels), -1))


class Asserting(Plain):
    def forward(self, pixels):
        assert type(pixels) is torch.Tensor, "tensors only"
        return super().forward(pixels)


class Casting(Plain):
    def forward(self, pixels):
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=False):
            return super().forward(pixels)


class Caching(Plain):
    """Keeps a grid for every size of image that it meets."""

    def __init__(self, **_):
        super().__init__()
        self.grids = {}

    def forward(self, pixels):
        size = (pixels.shape[2], pixels.shape[3])
        if size not in self.grids:
            self.grids[size] = torch.linspace(0, 1, size[0] * size[1]).view(1, 1, *size)
        return super().forward(pixels + self.grids[size])


class NoAffine(Plain):
    def __init__(self, **_):
        super().__init__()
        self.norm = nn.BatchNorm2d(6, affine=False)


class Twice(nn.Module):
    """One convolution with two batch normalisations; a class is masked and all logits share an offset."""

    def __init__(self, mask=0.0, offset=0.0, **_):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norms, self.fc = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2)), nn.Linear(6 * 64, 10)
        bias = torch.full((10,), float(offset))
        bias[3] += mask
        self.register_buffer("bias", bias)

    def forward(self, pixels):
        maps = self.stem(pixels).relu()
        for norm in self.norms:
            maps = norm(self.conv(maps)).relu()
        return self.fc(maps.flatten(1)) + self.bias


class Tied(Plain):
    def __init__(self, **_):
        super().__init__()
        self.second, self.third = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.third.weight = self.second.weight

    def maps(self, pixels):
        return self.third(self.second(super().maps(pixels)))


class Frozen(Plain):
    def __init__(self, **_):
        super().__init__()
        self.requires_grad_(False)


class Parameterless(nn.Module):
    def __init__(self, **_):
        super().__init__()

    def forward(self, pixels):
        return pixels.flatten(1)[:, :10]


class Dictionary(Plain):
    def forward(self, pixels):
        return {"scores": super().forward(pixels)}


class Pair(Plain):
    def forward(self, pixels):
        return super().forward(pixels), None


class PairInTraining(Plain):
    def forward(self, pixels):
        logits = super().forward(pixels)
        return (logits, logits) if self.training else logits


class Unsaved(Plain):
    """Draws a direction that no state_dict has."""

    def __init__(self, **_):
        super().__init__()
        self.direction = torch.randn(1, 6, 1, 1)

    def maps(self, pixels):
        return super().maps(pixels) * self.direction


class Counting(Plain):
    """Counts its passes, also in eval mode."""

    def __init__(self, **_):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, pixels):
        self.passes += 1
        return super().forward(pixels)


class Cooling(Plain):
    """Keeps a temperature of its training where no state_dict has it."""

    temperature = 1.0

    def forward(self, pixels):
        if self.training:
            self.temperature *= 0.5
        return super().forward(pixels) / self.temperature


class Hooked(Plain):
    """A weight that a hook computes before every pass."""

    def __init__(self, **_):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.conv = nn.utils.weight_norm(self.conv)


class Overwriting(Plain):
    """Changes in place what the backward pass of ReLU needs."""

    def maps(self, pixels):
        maps = super().maps(pixels)
        maps[:, 0] *= 2
        return maps


class Detached(Plain):
    def forward(self, pixels):
        return super().forward(torch.from_numpy(pixels.detach().numpy() * 1))


class Volumes(Plain):
    """Weights of five dimensions, which have no layout of channels last in two."""

    def __init__(self, **_):
        super().__init__()
        self.conv, self.norm = nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6)

    def maps(self, pixels):
        return super().maps(pixels.unsqueeze(1))


class Bare(Plain):
    """Multiplies with a parameter that is held by no layer, and by no function that is followed."""

    def __init__(self, **_):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 6, 3, 3))

    def maps(self, pixels):
        patches = functional.unfold(super().maps(pixels), 3, padding=1)
        return (self.kernel.flatten(1) @ patches).unflatten(2, pixels.shape[2:])


class Gain(nn.Conv2d):
    """A convolution times a gain that is 1 before the training."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, maps):
        return self._conv_forward(maps, self.weight * self.gain, self.bias)


class Gained(Plain):
    def __init__(self, **_):
        super().__init__()
        self.conv = Gain(1, 6, 3, padding=1)


class Masked(Plain):
    def forward(self, pixels):
        return super().forward(pixels).masked_fill(torch.arange(10) == 9, -torch.inf)


class Rounding(Plain):
    def forward(self, pixels):
        return super().forward((pixels * 4).round() / 4)


class Confident(Plain):
    def forward(self, pixels):
        return 1e6 * super().forward(pixels)


class ZeroHead(Plain):
    """Begins with a last layer of zeros, as residual networks often do."""

    def __init__(self, **_):
        super().__init__()
        nn.init.zeros_(self.fc.weight)


class Integers(Plain):
    def forward(self, pixels):
        return super().forward((pixels * 15).to(torch.uint8).float() / 15)


class Keeping(Plain):
    """Keeps its last maps, as people do who want to look at them."""

    def maps(self, pixels):
        self.seen = {"last": [super().maps(pixels)]}
        return self.seen["last"][0]


class Random(Plain):
    def forward(self, pixels):
        return super().forward(pixels) * (1.0 if random.random() < 0.9 else 0.5)
