"""What a pass uses of a network is the same for every image, or the network is not compressed."""

import pytest
import torch
from entry_examples import complete
from model_examples import split
from torch import nn

from squeezeproof.compression.paths import check_paths
from squeezeproof.errors import NotSupported
from squeezeproof.evaluation.support import not_supported

SHAPE = (1, 8, 8)
ENTRIES = {
    "filter": [complete("compressions", "filter", ratio=0.25)],
    "weight": [complete("compressions", "weight", ratio=0.5)],
    "quantization": [complete("compressions", "quantization", bits=8)],
}


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 10)
        self.middle = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

    def forward(self, pixels):
        maps = self.stem(pixels).relu()
        return self.fc(self.between(maps).relu().mean((2, 3)))

    def between(self, maps):
        for layer in self.middle:
            maps = layer(maps).relu()
        return maps


class Routed(Base):
    """Every image goes through one of the convolutions, by its brightness."""

    def between(self, maps):
        chosen, mixed = (maps.mean((1, 2, 3)) * 1e4).long() % 3, torch.zeros_like(maps)
        for number, layer in enumerate(self.middle):
            if (chosen == number).any():
                mixed[chosen == number] = layer(maps[chosen == number])
        return mixed


class Bare(Base):
    """The same with kernels that no layer holds."""

    def __init__(self):
        super().__init__()
        self.middle = None
        self.kernels = nn.ParameterList(torch.randn(8, 8) for _ in range(3))

    def between(self, maps):
        chosen = (maps.mean((1, 2, 3)) * 1e4).long() % 3
        return torch.stack(
            [
                torch.einsum("chw,dc->dhw", map, self.kernels[int(which)])
                for map, which in zip(maps, chosen, strict=True)
            ]
        )


class Leaving(Base):
    """Is sure of black images before its last convolutions."""

    def between(self, maps):
        return super().between(maps) if (maps.amax((1, 2, 3)) > maps.amin() + 0.5).any() else maps


class Cut(Base):
    """The stem, and what is before the last convolutions, passes no gradient on."""

    def between(self, maps):
        return super().between(maps.detach())


class Placed(Base):
    """A small network of the places, which are the same for every image, as in swin transformers of version 2."""

    def __init__(self):
        super().__init__()
        self.places = nn.Linear(2, 8)

    def between(self, maps):
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 8)] * 2, indexing="ij"), -1)
        return super().between(maps) + self.places(grid).movedim(-1, 0)


class Generated(Base):
    """One layer makes the kernels of two convolutions, from what is learned of each."""

    def __init__(self):
        super().__init__()
        self.middle, self.learned, self.maker = None, nn.Parameter(torch.randn(2, 4)), nn.Linear(4, 8 * 8)

    def between(self, maps):
        for one in self.learned:
            maps = nn.functional.conv2d(maps, self.maker(one).view(8, 8, 1, 1)).relu()
        return maps


class Tied(Base):
    def __init__(self):
        super().__init__()
        self.middle[1].weight = self.middle[0].weight


class Trained(Base):
    """Has a head that only its training uses."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(8, 10)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Routed, r"depends on the images.*: middle\.0, middle\.1, middle\.2 only for some"),
        (Bare, "depends on the images.*: kernels only for some"),
        (Leaving, r"depends on the images.*: middle\.0, middle\.1, middle\.2 only for some"),
        (Cut, r"come to middle\.0, middle\.1, middle\.2, fc without a gradient"),
    ],
)
def test_a_network_of_which_one_pass_does_not_tell_all_is_not_compressed(network, told):
    torch.manual_seed(0)
    with pytest.raises(NotSupported, match=told):
        check_paths(network(), SHAPE, split(0, 64)[0])


@pytest.mark.parametrize("network", [Base, Placed, Generated, Tied, Trained])
def test_a_network_that_computes_alike_for_every_image_is(network):
    torch.manual_seed(0)
    model = network()
    model.stem.requires_grad_(False)
    check_paths(model, SHAPE, split(0, 64)[0])
    assert not model.stem.weight.requires_grad and model.fc.weight.grad is None


def test_it_is_told_before_a_training():
    torch.manual_seed(0)
    found = not_supported(Routed(), SHAPE, ENTRIES, {}, *split(0, 64))
    assert set(found) == set(ENTRIES) and all("middle.1" in reason for reason in found.values())
