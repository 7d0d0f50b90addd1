"""Weights are found where they are used: what is pruned and counted is what activations are multiplied with."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from squeezeproof.audit.compressed import audit_compressed
from squeezeproof.compression.achieved import achieved
from squeezeproof.compression.weights import prunable, prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.measure import layer_macs, measure
from squeezeproof.models.products import products, weights_in_use

SHAPE = (1, 8, 8)


class Standardised(nn.Conv2d):
    def forward(self, maps):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(maps, weight, self.bias, padding=1)


class Net(nn.Module):
    def __init__(self, middle=None):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.middle, self.fc = middle or nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4 * 64, 10)

    def forward(self, pixels):
        return self.fc(self.middle(self.first(pixels).relu()).flatten(1))


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.orthogonal,
        nn.utils.spectral_norm,
        nn.utils.weight_norm,
        pruned,
        lambda layer: Standardised(4, 4, 3, padding=1),
    ],
    ids=["spectral", "weight", "orthogonal", "old spectral", "old weight", "pruned", "standardised"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_weight_that_is_computed_is_refused_by_the_name_of_its_layer(change):
    model = Net(change(nn.Conv2d(4, 4, 3, padding=1))).eval()
    with pytest.raises(InputError, match="does not cover middle: the weight is computed from parameters"):
        prunable(model, SHAPE)
    with pytest.raises(InputError, match="does not cover middle"):
        prune_weights(model, 0.5, scope="global", shape=SHAPE)
    assert measure(model, {}, SHAPE)["weights"] == 36 + 144 + 2560


class Blurred(nn.Module):
    """Multiplies with a fixed kernel, which is no weight of the network."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", torch.ones(1, 1, 3, 3) / 9)

    def forward(self, maps):
        return functional.conv2d(maps, self.kernel.repeat(4, 1, 1, 1), padding=1, groups=4)


class Unused(nn.Conv2d):
    def forward(self, maps):
        return maps


@pytest.mark.parametrize("middle", [Blurred(), Unused(4, 4, 3)])
def test_fixed_kernels_and_layers_that_do_nothing_are_no_weights(middle):
    assert list(prunable(Net(middle).eval(), SHAPE)) == ["first.weight", "fc.weight"]


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.other.weight = self.one.weight

    def forward(self, maps):
        return self.other(self.one(maps).relu())


class Parts(nn.Module):
    """Convolves with one part of a parameter after the other."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(2, 4, 4, 3, 3))

    def forward(self, maps):
        return functional.conv2d(functional.conv2d(maps, self.kernels[0], padding=1), self.kernels[1], padding=1)


class Rows(nn.Module):
    """A recurrent layer that reads the rows of the maps."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.read, self.fc = nn.Conv2d(1, 4, 3, padding=1), kind(32, 6, batch_first=True), nn.Linear(6, 10)

    def forward(self, pixels):
        rows = self.first(pixels).relu().transpose(1, 2).flatten(2)
        return self.fc(self.read(rows)[0][:, -1])


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_the_weights_of_recurrent_layers_are_counted_and_pruned(kind, gates):
    model = Rows(kind)
    weights = 36 + gates * 6 * (32 + 6) + 60
    assert measure(model, {}, SHAPE)["weights"] == weights
    prune_weights(model, 0.5, scope="global", shape=SHAPE)
    zeros = [int((getattr(model.read, name) == 0).sum()) for name in ("weight_ih_l0", "weight_hh_l0")]
    assert measure(model, {}, SHAPE)["zero_weights"] == weights // 2 and all(zeros)


def test_every_part_of_a_parameter_is_counted():
    model = Net(Parts())
    dense = measure(model, {}, SHAPE)
    assert dense["weights"] == 4 * 9 + 2 * 4 * 4 * 9 + 10 * 4 * 64
    with torch.no_grad():
        model.middle.kernels[1] = 0
    assert measure(model, {}, SHAPE)["zero_weights"] == 4 * 4 * 9


class Used(nn.Module):
    """Uses a weight of its own on the mean of each map, [N, 4]."""

    def __init__(self, weight, use):
        super().__init__()
        self.weight, self.use = nn.Parameter(weight), use

    def forward(self, maps):
        return self.use(maps.mean((2, 3)), self.weight)


def frequencies(means, weight):
    """Complex factors of the frequencies of maps."""
    maps = means[:, :, None, None] * torch.ones(4, 4)
    return torch.fft.irfft2(torch.fft.rfft2(maps) * torch.view_as_complex(weight), s=(4, 4)).mean((2, 3))


def read_twice(means, weight):
    """einsum copies a weight into another order."""
    basis = torch.stack([means, means**2], 2)
    return sum(torch.einsum("nig,oig->no", basis, weight) for _ in range(2))


def weighted_bag(pixels, weight):
    """The rows of a table, weighted by the pixels."""
    rows = torch.arange(len(weight)).expand(len(pixels), -1)
    return functional.embedding_bag(rows, weight, mode="sum", per_sample_weights=pixels)


USES = {
    "bilinear": ((4, 4, 4), lambda x, w: functional.bilinear(x, x.tanh(), w), 64),
    "number by number": ((4, 4), lambda x, w: (x[:, None] * w).sum(2), 16),
    "vecdot": ((4, 4), lambda x, w: torch.linalg.vecdot(x[:, None], w[None]), 16),
    "addcmul": ((4, 4), lambda x, w: torch.addcmul(x[:, None], x[:, None], w).sum(2), 16),
    "inner": ((4, 4), lambda x, w: torch.inner(x, w), 16),
    "tensordot": ((4, 4), lambda x, w: torch.tensordot(x, w, dims=1), 16),
    "copied": ((4, 4, 2), read_twice, 64),
    "expanded": ((1, 4, 4), lambda x, w: torch.bmm(x[:, None].expand(-1, 3, -1), w.expand(len(x), 4, 4)).sum(1), 48),
    "expanded heads": ((1, 4, 4), lambda x, w: torch.bmm(x.expand(2, 1, 4), w.expand(2, 4, 4)).sum(0), 32),
    "addbmm": ((1, 4, 4), lambda x, w: torch.addbmm(torch.zeros(1, 4), x[:, None], w), 16),
    "distances": ((4, 4), lambda x, w: torch.cdist(x, w), 16),
    "distances to many": ((40, 4), lambda x, w: torch.cdist(x, w)[:, :4], 160),
    "bag": ((4, 4), weighted_bag, 16),
    "one by one": ((4, 4), lambda x, w: torch.stack([torch.mv(w, row) for row in x]), 16),
    "complex": ((4, 4, 3, 2), frequencies, 48),
}


@pytest.mark.parametrize("use", USES)
def test_a_weight_is_found_however_it_is_multiplied_with(use):
    torch.manual_seed(0)
    shape, function, macs = USES[use]
    model = Net(nn.Sequential(Used(torch.randn(shape), function), nn.Unflatten(1, (4, 1, 1)), nn.Upsample((8, 8))))
    dense, count = measure(model, {}, SHAPE), math.prod(shape)
    assert dense["weights"] == 36 + count + 2560 and dense["macs"] == 64 * 36 + macs + 2560
    masks = prune_weights(model, 0.75, scope="layer", shape=SHAPE)
    assert (model.middle[0].weight == 0).sum() == 0.75 * count
    assert measure(model, masks, SHAPE)["zero_weights"] == 0.75 * dense["weights"]


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1,), ()])
def test_one_number_for_every_channel_is_a_gain_and_no_weight(shape):
    class Scaled(nn.Conv2d):
        def forward(self, maps):
            return super().forward(maps) * self.gain

    layer = Scaled(4, 4, 3, padding=1)
    layer.gain = nn.Parameter(torch.ones(shape))
    assert list(prunable(Net(layer), SHAPE)) == ["first.weight", "middle.weight", "fc.weight"]


def test_a_shared_weight_is_pruned_once_and_multiplied_twice():
    model = Net(Shared()).eval()
    assert list(prunable(model, SHAPE)) == ["first.weight", "middle.one.weight", "fc.weight"]
    masks = prune_weights(model, 0.5, scope="layer", shape=SHAPE)
    assert torch.equal(model.middle.other.weight != 0, masks["middle.one.weight"])
    size = measure(model, masks, SHAPE)
    assert size["weights"] == 36 + 144 + 2560 and size["zero_weights"] == size["weights"] // 2
    assert size["macs"] == 64 * (36 + 2 * 144) + 2560


class Transformer(nn.Module):
    """Four tokens of width 8, attention of two heads, a bare matrix; what a ViT has."""

    def __init__(self):
        super().__init__()
        self.patches, self.attention = nn.Conv2d(1, 8, 4, 4), nn.MultiheadAttention(8, 2, batch_first=True)
        self.matrix, self.fc = nn.Parameter(torch.randn(8, 8)), nn.Linear(8, 10)

    def forward(self, pixels):
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        mixed = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.fc((mixed @ self.matrix).mean(1))


def test_the_projections_of_attention_are_pruned_and_its_products_counted():
    model = Transformer().eval()
    names = ["patches.weight", "attention.in_proj_weight", "attention.out_proj.weight", "matrix", "fc.weight"]
    assert list(prunable(model, SHAPE)) == names
    tokens, width = 4, 8
    macs = 16 * width * tokens + 3 * tokens * width**2 + 2 * tokens * tokens * width + 2 * tokens * width**2 + 80
    assert measure(model, {}, SHAPE)["macs"] == macs
    masks = prune_weights(model, 0.8, scope="layer", shape=SHAPE)
    size = measure(model, masks, SHAPE)
    assert size["zero_weights"] / size["weights"] == pytest.approx(0.8, abs=0.01)


def test_finding_products_leaves_the_model_as_it_was():
    model = Transformer().train()
    model.fc.requires_grad_(False)
    products(model, SHAPE)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == [
        "fc.weight",
        "fc.bias",
    ]
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_layer_that_computes_its_weight_is_counted_once_however_often_it_is_called():
    layer = parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
    model = Net(nn.Sequential(layer, nn.ReLU(), layer)).eval()
    assert sum(weight.numel() for _, _, weight in weights_in_use(products(model, SHAPE)).values()) == 36 + 144 + 2560


SIZE = {"weights": 1000, "zero_weights": 0, "quantized_weights": 0, "channels": 100, "convolutions": 4, "macs": 10}


FILTERS = {"method": "filter", "ratio": 0.3, "measure": "channels", "scope": "layer", "multiple_of": 1}


@pytest.mark.parametrize(
    ("settings", "size", "verdict"),
    [
        ({"method": "weight", "ratio": 0.8}, {"zero_weights": 800}, "pass"),
        ({"method": "weight", "ratio": 0.8}, {"zero_weights": 780}, "warning"),
        ({"method": "admm", "ratio": 0.8}, {"zero_weights": 0}, "failure"),
        (FILTERS, {"channels": 72}, "pass"),
        ({**FILTERS, "scope": "global"}, {"channels": 72}, "warning"),
        ({**FILTERS, "scope": "global", "multiple_of": 8}, {"channels": 74}, "pass"),
        ({**FILTERS, "multiple_of": 8}, {"channels": 76}, "warning"),
        ({**FILTERS, "measure": "macs"}, {"macs": 10}, "failure"),
        ({"method": "quantization", "bits": 8}, {"quantized_weights": 1000}, "pass"),
        ({"method": "quantization", "bits": 8}, {"quantized_weights": 520}, "failure"),
    ],
)
def test_the_audit_compares_what_was_achieved_with_what_was_asked(settings, size, verdict):
    [finding] = audit_compressed("digits", "net", {"achieved": achieved(settings, {**SIZE, **size}, SIZE)})
    assert (finding.check, finding.verdict) == (21, verdict)
    assert verdict == "pass" or "were asked for" in finding.message


def test_a_base_model_has_nothing_to_achieve():
    assert audit_compressed("digits", "net", {"fingerprint": ""}) == []


class Parted(nn.Module):
    """Two layers that see rows of an image in the place of images: all of them, or those that are bright."""

    def __init__(self):
        super().__init__()
        self.all, self.bright, self.fc = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(48, 10)

    def forward(self, pixels):
        rows = pixels.flatten(0, 2)
        found, bright = self.all(rows), rows.mean(1) > 0.5
        found = found.index_add(0, bright.nonzero().squeeze(1), self.bright(rows[bright]))
        return self.fc(found.view(len(pixels), -1))


def test_layers_that_see_parts_of_an_image_or_none_are_counted():
    model = Parted().eval()
    assert layer_macs(model, SHAPE) == {"all": 8 * 8 * 6, "bright": 0, "fc": 480}
    assert measure(model, prune_weights(model, 0.5, scope="layer", shape=SHAPE), SHAPE)["zero_weights"] == 288
