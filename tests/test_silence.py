"""Whatever filter pruning removes, the network left is the one in which exactly these filters are silent."""

import random
from copy import deepcopy

import pytest
import torch
from model_examples import custom_spec, model_of
from torch import nn
from torch.nn import functional

from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.groups import _guilty
from squeezeproof.compression.silence import Reference, same_logits, silent
from squeezeproof.errors import InputError
from squeezeproof.models.attention import Attention
from squeezeproof.models.measure import measure

SHAPE = (1, 8, 8)
WIDTH = 8


class Net(nn.Module):
    """Two convolutions, something between the second and the linear layer; `middle` is what differs."""

    def __init__(self, middle, columns=64, first=None, normalization=nn.BatchNorm2d):
        super().__init__()
        self.middle, self.between = middle, first or nn.Identity()
        self.c1, self.c2 = nn.Conv2d(1, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.n1, self.n2 = normalization(WIDTH), normalization(WIDTH)
        self.fc = nn.Linear(WIDTH * columns, 10)

    def forward(self, pixels):
        maps = functional.relu(self.n1(self.between(self.c1(pixels))))
        return self.fc(self.middle(functional.relu(self.n2(self.c2(maps)))).flatten(1))


class Layered(nn.Module):
    """Convolution, `layers` on its maps, average, linear layer."""

    def __init__(self, *layers, width=WIDTH, outputs=WIDTH):
        super().__init__()
        self.c1, self.layers, self.fc = (
            nn.Conv2d(1, width, 3, padding=1),
            nn.Sequential(*layers),
            nn.Linear(outputs, 10),
        )

    def forward(self, pixels):
        return self.fc(functional.silu(self.layers(functional.silu(self.c1(pixels)))).mean((2, 3)))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, maps):
        return self.function(maps)


class Excited(nn.Module):
    """Squeeze-and-excitation with 1x1 convolutions [hu2018]."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(WIDTH, 4, 1), nn.Conv2d(4, WIDTH, 1)

    def forward(self, maps):
        return maps * functional.hardsigmoid(
            self.excite(functional.relu(self.squeeze(maps.mean((2, 3), keepdim=True))))
        )


class Gated(nn.Module):
    """A gated convolution: half of its filters open the others."""

    def __init__(self):
        super().__init__()
        self.gated, self.last = nn.Conv2d(WIDTH, 2 * WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, maps):
        values, gates = self.gated(maps).chunk(2, dim=1)
        return self.last(values * gates.sigmoid())


class Tokens(nn.Module):
    """Attention between places."""

    def __init__(self):
        super().__init__()
        self.attention = Attention(nn.MultiheadAttention(WIDTH, 2, batch_first=True))

    def forward(self, maps):
        tokens = maps.flatten(2).transpose(1, 2)
        return tokens + self.attention(tokens, tokens, tokens)[0]


class Functional(nn.Module):
    """Convolves with the weight of a layer that is never called."""

    def __init__(self):
        super().__init__()
        self.held = nn.Conv2d(WIDTH, WIDTH, 3)

    def forward(self, maps):
        return functional.conv2d(maps, self.held.weight)


def shuffled(maps):
    return maps.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def pooled(maps):
    return torch.cat([functional.adaptive_avg_pool2d(maps, 1), functional.adaptive_max_pool2d(maps, 1)], 1)


def interleaved(maps):
    return torch.stack([functional.adaptive_avg_pool2d(maps, 1), functional.adaptive_max_pool2d(maps, 1)], 2)


REORDERED = {
    "rolled": Net(lambda maps: maps.roll(1, 1)),
    "rolled before its normalisation": Net(nn.Identity(), first=Function(lambda maps: maps.roll(1, 1))),
    "flipped": Net(lambda maps: maps.flip(1)),
    "shuffled": Net(shuffled),
    "constant view": Net(lambda maps: maps.view(-1, WIDTH * 64)),
    "glu": Net(lambda maps: functional.glu(maps, 1), columns=32),
    "split": Net(lambda maps: torch.cat(maps.split([3, 5], 1)[::-1], 1)),
    "sliced": Net(lambda maps: maps[:, 2:], columns=48),
    "pixel shuffle": Net(lambda maps: functional.pixel_shuffle(maps, 2)),
    "not zero at zero": Net(lambda maps: maps.exp()),
    "not zero before a convolution": Net(nn.Identity(), first=Function(torch.sigmoid)),
    "transposed convolution": Layered(nn.ConvTranspose2d(WIDTH, WIDTH, 1)),
}
FOLLOWED = {
    "plain": Net(nn.Identity()),
    "flattened channels last": Net(lambda maps: maps.permute(0, 2, 3, 1)),
    "movedim": Net(lambda maps: maps.movedim(1, -1)),
    "flattened channels last, fewer than places": Net(
        lambda maps: functional.avg_pool2d(maps, 2).permute(0, 2, 3, 1), columns=16
    ),
    "attention": Net(Tokens()),
    "attention on fewer places": Net(nn.Sequential(nn.AvgPool2d(2), Tokens()), columns=16),
    "interleaved pools": Net(interleaved, columns=2),
    "batch norm without affine": Net(nn.Identity(), normalization=lambda width: nn.BatchNorm2d(width, affine=False)),
    "pools side by side": Net(pooled, columns=2),
    "excited": Layered(Excited()),
    "grouped": Layered(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=2), nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 1)),
    "multiplied": Layered(nn.Conv2d(WIDTH, 16, 3, groups=4), nn.ReLU(), nn.Conv2d(16, WIDTH, 1)),
    "group norm": Layered(nn.GroupNorm(2, WIDTH), nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 1)),
    "slopes": Layered(nn.PReLU(WIDTH), nn.Conv2d(WIDTH, WIDTH, 1)),
    "gated": Layered(Gated()),
}


def trained(model):
    """The model in eval mode, its normalisations as if trained."""
    generator = torch.Generator().manual_seed(1)
    for module in model.eval().modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            for tensor in (module.weight, module.bias, *list(module.buffers())[:2]):
                if tensor is not None:
                    tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model


def prune(model, ratio=0.4, **options):
    sizes = dense_sizes(model, SHAPE)
    return prune_filters(
        model, SHAPE, sizes, ratio, **{"importance": "l1", "scope": "layer", "measure": "channels", **options}
    )


def silence(model, chosen):
    """Zero filters, and what the batch normalisation right after them would make of zeros."""
    after = {"c1": "n1", "c2": "n2"}
    # The gate's filters and those that it gates are one group, as maps are with what attention adds to them.
    tied = [("c1", chosen.get("layers.0.excite", []))]
    tied += [
        (f"{name}.out_proj", chosen["c2"]) for name, module in model.named_modules() if isinstance(module, Attention)
    ]
    for name, indices in [*chosen.items(), *tied]:
        layer = model.get_submodule(name)
        layer.weight.data[indices], layer.bias.data[indices] = 0, 0
        norm = getattr(model, after.get(name, ""), None)
        if norm is not None and norm.affine:
            norm.weight.data[indices], norm.bias.data[indices] = 0, 0
        elif norm is not None:
            norm.running_mean[indices] = 0


def assert_loses(model, counts):
    """So many filters go, name -> count, and what is left is the network with these filters silent."""
    whole, chosen = deepcopy(model), prune(model)
    assert {name: len(indices) for name, indices in chosen.items()} == counts
    silence(whole, chosen)
    pixels = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(pixels), whole(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_left_is_the_network_with_these_filters_silent(name):
    torch.manual_seed(0)
    model = trained(deepcopy(FOLLOWED[name]))
    whole = deepcopy(model)
    chosen = prune(model)
    assert all(chosen.values())
    pixels = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    if name != "group norm":  # whose statistics are over the channels that are left
        silence(whole, chosen)
        torch.testing.assert_close(model(pixels), whole(pixels), rtol=1e-4, atol=1e-5)
    for root, indices in chosen.items():
        assert model.get_submodule(root).out_channels == whole.get_submodule(root).out_channels - len(indices)


@pytest.mark.parametrize("name", REORDERED)
def test_a_network_whose_channels_are_reordered_is_refused_by_the_name_of_the_layer_or_pruned_right(name):
    model = trained(deepcopy(REORDERED[name]))
    whole, state = deepcopy(model), deepcopy(model.state_dict())
    try:
        chosen = prune(model)
    except InputError as error:
        layers = [key for key, layer in model.named_modules() if isinstance(layer, nn.modules.conv._ConvNd)]
        assert any(str(error).startswith(f"filter pruning does not cover {layer}") for layer in layers), error
        assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in state.items())
        return
    pixels = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    silence(whole, chosen)
    torch.testing.assert_close(model(pixels), whole(pixels), rtol=1e-4, atol=1e-5)


def test_flattens_of_both_orders_lose_the_columns_of_their_filters():
    """Of the maps of one convolution the channels come first, of those of the other last."""
    torch.manual_seed(0)

    class Both(Net):
        def forward(self, pixels):
            maps = functional.avg_pool2d(functional.relu(self.n1(self.c1(pixels))), 2)
            last = functional.relu(self.n2(self.c2(maps))).permute(0, 2, 3, 1)
            return self.fc(last.flatten(1)) + self.other(maps.flatten(1))

    model = trained(Both(nn.Identity(), columns=16))
    model.other = nn.Linear(WIDTH * 16, 10)
    assert_loses(model, {"c1": 3, "c2": 3})


def test_a_share_that_whole_filters_come_nowhere_near_is_refused_by_the_layers_that_keep_theirs():
    model = Layered(Functional(), width=WIDTH)
    told = r"would remove 12\.5 % .* where 30 % are asked for: all filters of layers\.0\.held stay"
    with pytest.raises(InputError, match=told):
        prune(model, ratio=0.3)


def test_the_other_layers_of_one_that_keeps_its_filters_are_rounded_as_all_are():
    """6 of 16 filters are 37.5 %, as near to 40 % as whole filters come."""
    chosen = prune(trained(deepcopy(REORDERED["rolled"])))
    assert {name: len(indices) for name, indices in chosen.items()} == {"c1": 6}


def test_where_a_layer_keeps_its_filters_the_others_go_in_whole_filters_too():
    """Of two layers of 8 equal numbers go, of 24 filters 6 or 8, and 7.2 are asked for."""
    follower = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())
    model = trained(Net(follower, first=Function(lambda maps: maps.roll(1, 1))))
    assert {name: len(indices) for name, indices in prune(model, ratio=0.3).items()} == {"c2": 4, "middle.0": 4}


def test_half_of_the_filters_are_not_found_in_one_of_two_layers():
    """7 of 16 filters, 43.8 %, are all that the layer can lose; it alone is rounded, by half a filter, 3.1 %."""
    with pytest.raises(InputError, match=r"removing 50 % of the channels is 43\.8 %"):
        prune(trained(deepcopy(REORDERED["rolled"])), ratio=0.5)


class LastByFunction(Net):
    """Its last maps go to a weight that no layer holds."""

    def forward(self, pixels):
        maps = functional.relu(self.n2(self.c2(functional.relu(self.n1(self.c1(pixels))))))
        return torch.einsum("nc,kc->nk", maps.mean((2, 3)), self.fc.weight[:, : maps.shape[1]])


def test_no_layer_is_emptied_for_those_that_keep_their_filters():
    """5 of 16 filters are 5 of the 8 of the first layer, and 7 would leave it one."""
    model = LastByFunction(nn.Identity())
    model.fc.weight = nn.Parameter(torch.randn(10, WIDTH, generator=torch.Generator().manual_seed(0)))
    assert {name: len(indices) for name, indices in prune(deepcopy(model), ratio=0.3).items()} == {"c1": 5}
    told = r"does not cover c2: .*Without them the others would lose 88 % of their filters where 42 % are asked for"
    with pytest.raises(InputError, match=told):
        prune(deepcopy(model), ratio=0.42)


class Weighed(nn.Module):
    """A sum of two branches, each times a number of one parameter, as of DARTS and BiFPN."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.shares = nn.Parameter(torch.tensor([0.3, 0.7]))

    def forward(self, maps):
        return self.shares[0] * self.one(maps) + self.shares[1] * self.other(maps)


def test_layers_before_and_behind_one_that_cannot_be_followed_lose_their_filters():
    """What the first trial did to a parameter with too few numbers is undone for the next one."""
    model = trained(Net(Weighed()))
    assert_loses(model, {"c1": 6, "c2": 6})


def test_a_parameter_is_as_it_was_where_silence_fails():
    model = Weighed()
    with pytest.raises(IndexError), silent(model, {"shares": (0, torch.tensor([1, 5]))}):
        pass
    assert model.shares.tolist() == pytest.approx([0.3, 0.7])


def test_a_layer_that_no_pass_uses_is_none_of_which_filters_are_asked():
    model = trained(deepcopy(FOLLOWED["plain"]))
    model.unused = nn.Conv2d(WIDTH, 4 * WIDTH, 3)
    assert measure(model, {}, SHAPE)["channels"] == 2 * WIDTH
    assert {name: len(indices) for name, indices in prune(model).items()} == {"c1": 3, "c2": 3}


def test_a_network_that_draws_numbers_is_pruned_beside_itself_with_the_same_numbers():
    model = trained(deepcopy(FOLLOWED["plain"]))
    model.between = Function(lambda maps: maps * (1 if random.random() < 0.5 else 0.1) * torch.rand(()))
    assert {name: len(indices) for name, indices in prune(model).items()} == {"c1": 3, "c2": 3}


def test_a_problem_that_comes_and_goes_is_told_of_all_layers():
    """As where a network draws numbers from a generator of its own."""
    told = iter(["it differs", None, None])
    assert _guilty(lambda _: next(told), {"c1": [0], "c2": [1]}, "it differs") == {"c1": "it differs"}
    assert _guilty(lambda _: None, {"c1": [0], "c2": [1]}, "it differs") == dict.fromkeys(["c1", "c2"], "it differs")


def test_frozen_layers_are_pruned_and_stay_frozen():
    model = trained(deepcopy(FOLLOWED["plain"])).requires_grad_(False)
    model.c2.requires_grad_(True)
    prune(model)
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == ["c2.weight", "c2.bias"]


@pytest.mark.parametrize("change", [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm])
def test_a_layer_whose_weight_is_computed_is_refused(change):
    model = trained(deepcopy(FOLLOWED["plain"]))
    change(model.c2)
    with pytest.raises(InputError, match="does not cover c2: its weight is computed from other parameters"):
        prune(model)


def test_layers_that_hold_one_weight_are_refused():
    model = trained(deepcopy(FOLLOWED["plain"]))
    model.between = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
    model.between.weight = model.c2.weight
    with pytest.raises(InputError, match="does not cover between, c2: they hold one weight together"):
        prune(model)


def test_a_cut_that_takes_other_columns_is_seen_however_small_and_masked():
    """Also where the logits hardly depend on the image, share an offset and a class is masked."""
    torch.manual_seed(0)
    model = trained(deepcopy(FOLLOWED["plain"]))
    bias = torch.full((10,), 1e4)
    bias[3], bias[4] = -1e9, -torch.inf
    model.fc.weight.data.mul_(1e-3)
    model.fc.bias.data.add_(bias)
    wrong, reference = deepcopy(model), Reference(model, SHAPE)
    removed = {"c2": torch.tensor([2]), "n2": torch.tensor([2])}
    for layer in (wrong.c2, wrong.n2):
        layer.weight.data[2], layer.bias.data[2] = 0, 0
    assert reference.difference(wrong, removed) is None
    wrong.fc.weight.data[:, 64 * 3] = 0
    assert "computes something else" in reference.difference(wrong, removed)


def test_a_wrong_cut_is_seen_where_no_image_wakes_the_filter_that_it_moves():
    """Of maps that are rolled the last three go: the one before them lands on a column of another, and is silent on all
    images of [0, 1]."""
    torch.manual_seed(0)
    model = trained(Net(lambda maps: maps.roll(1, 1)))
    model.c2.weight.data[5:] *= 0.01
    model.n2.bias.data[4] = -5
    maps = functional.relu(model.n2(model.c2(functional.relu(model.n1(model.c1(torch.rand(99, *SHAPE)))))))
    assert not maps[:, 4].any()
    assert set(prune(model)) == {"c1"}


@pytest.mark.parametrize(("apart", "same"), [(0.0, True), (1e-9, True), (0.1, False), (float("nan"), False)])
def test_logits_are_compared_beside_how_they_change(apart, same):
    logits = torch.randn(4, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    other = logits.clone()
    other[2, 5] += apart
    assert same_logits(logits, other) is same


def test_custom_networks_are_pruned_behind_their_normalisation():
    spec = custom_spec("flattened")
    model = model_of(spec)
    assert set(prune(model)) == {"network.0", "network.3"}
