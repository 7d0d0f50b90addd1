"""Transformers and channel shuffles: what is removed, proven by the network in which it is silent, and what stays."""

import logging
from copy import deepcopy

import pytest
import torch
from model_examples import custom_spec, model_of
from test_silence import Net, prune, shuffled, silence, trained
from torch import nn

from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.heads import attention_groups
from squeezeproof.compression.quantization import quantize
from squeezeproof.models.attention import Attention
from squeezeproof.models.checkpoints import check_rebuilds, save_model
from squeezeproof.models.functional import call_layers
from squeezeproof.models.measure import filtering, layer_macs, measure

SHAPE = (1, 8, 8)


def without(model, ratio, **options):
    """What `prune_filters` removed of a copy, the copy, and the share of the filters that went."""
    pruned, dense = deepcopy(model), measure(model, {}, SHAPE)
    options = {"importance": "l1", "scope": "layer", "measure": "channels", **options}
    chosen = prune_filters(pruned, SHAPE, dense_sizes(model, SHAPE), ratio, **options)
    return chosen, pruned, 1 - measure(pruned, {}, SHAPE)["channels"] / dense["channels"]


@pytest.mark.parametrize("options", [{}, {"importance": "random"}, {"importance": "lamp"}])
def test_heads_and_hidden_widths_of_a_transformer_are_removed_and_rebuilt(tmp_path, options):
    spec = custom_spec("tiny_vit")
    model = model_of(spec).eval()
    chosen, pruned, share = without(model, 0.3, **options)
    assert share == pytest.approx(0.3, abs=0.01)
    assert {name.rsplit(".", 1)[1] for name in chosen} <= {"in_proj", "0"} and any("mlp" in name for name in chosen)
    whole = [module for module in model.modules() if isinstance(module, Attention)]
    left = [module for module in pruned.modules() if isinstance(module, Attention)]
    for before, after in zip(whole, left, strict=True):
        assert after.num_heads <= before.num_heads == 4 and after.head_dim == before.head_dim == 4
        assert after.in_proj.out_features == 3 * after.out_proj.in_features == 12 * after.num_heads
    assert sum(module.num_heads for module in left) < sum(module.num_heads for module in whole)
    save_model(tmp_path / "model", pruned, spec)
    check_rebuilds(tmp_path / "model", pruned)


def test_a_head_that_is_gone_gives_what_one_without_values_gives():
    model = model_of(custom_spec("tiny_vit")).eval()
    chosen, pruned, _ = without(model, 0.3)
    with torch.no_grad():
        for name, indices in chosen.items():
            layer = model.get_submodule(name)
            layer.weight[indices], layer.bias[indices] = 0, 0
    pixels = torch.rand(5, *SHAPE)
    torch.testing.assert_close(pruned(pixels), model(pixels), rtol=1e-4, atol=1e-5)


def test_a_head_is_the_rows_of_its_queries_keys_and_values():
    model = model_of(custom_spec("tiny_vit"))
    group = attention_groups(model)[0]
    assert group.units[1] == [4, 5, 6, 7, 20, 21, 22, 23, 36, 37, 38, 39]


def test_filters_are_those_of_convolutions_but_where_one_cuts_the_image_into_patches():
    vit, swin, plain = (model_of(custom_spec(name)) for name in ("tiny_vit", "tiny_swin", "flattened"))
    assert {type(layer) for layer in filtering(plain, SHAPE)} == {nn.Conv2d}
    for model in (vit, swin):
        assert {type(layer) for layer in filtering(model, SHAPE)} >= {nn.Conv2d, nn.Linear}


def test_layers_that_a_network_only_multiplies_with_are_called():
    model = model_of(custom_spec("tiny_swin")).eval()
    names = list(layer_macs(model, SHAPE))
    assert sum(name.endswith(("attn.qkv", "attn.proj")) for name in names) == 4
    pixels = torch.rand(4, *SHAPE)
    expected = model(pixels)
    copied = deepcopy(model)
    assert torch.equal(copied(pixels), expected)
    nn.init.zeros_(copied.network.features[1][0].attn.qkv.weight)
    # The copy calls its own layers.
    assert torch.equal(model(pixels), expected) and not torch.equal(copied(pixels), expected)


def test_a_layer_that_is_called_stays_as_it_is():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    call_layers(model, torch.rand(2, *SHAPE))
    assert type(model) is nn.Sequential


def test_all_weights_of_a_swin_transformer_are_quantized():
    model = model_of(custom_spec("tiny_swin")).eval()
    settings = {
        **{"bits": 8, "activation_bits": None, "mode": "ptq", "first_last": "same", "calibration": "minmax"},
        **{"percentile": 99.9, "calibration_images": 8},
    }
    images = torch.randint(0, 256, (8, *SHAPE), dtype=torch.uint8)
    quantize(model, SHAPE, settings, images, seed=0)
    size = measure(model, {}, SHAPE)
    assert size["quantized_weights"] == size["weights"]


def test_filters_that_cannot_go_stay_and_more_of_the_others_goes(caplog):
    torch.manual_seed(0)
    model = trained(Net(shuffled))
    whole = deepcopy(model)
    with caplog.at_level(logging.INFO, "squeezeproof"):
        chosen = prune(model, ratio=0.25)
    assert set(chosen) == {"c1"} and len(chosen["c1"]) == 4 and model.c2.out_channels == 8
    assert "c2 keeps all its filters: " in caplog.text
    silence(whole, chosen)
    pixels = torch.rand(5, *SHAPE)
    torch.testing.assert_close(model(pixels), whole(pixels), rtol=1e-4, atol=1e-5)
