"""Attention as linear layers computes what torch's does, and is pruned, quantized and exported like all others."""

import re
import sys
import textwrap
from types import ModuleType

import pytest
import safetensors.torch
import torch
from conftest import ROOT
from model_examples import CLASSES, spec_of
from torch import nn

from squeezeproof.compression.quantization import quantize
from squeezeproof.compression.weights import prunable
from squeezeproof.deployment.export import export_onnx
from squeezeproof.models.attention import Attention, unfold_attention
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import save_model
from squeezeproof.models.measure import layer_macs, measure

SHAPE = (1, 8, 8)


class Vision(nn.Module):
    """Four tokens through a torch encoder layer and an attention of their own."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1, enable_nested_tensor=False
        )
        self.attention, self.fc = nn.MultiheadAttention(8, 2), nn.Linear(8, CLASSES)

    def forward(self, pixels):
        tokens = self.encoder(self.patches(pixels).flatten(2).transpose(1, 2)).transpose(0, 1)
        return self.fc((tokens + self.attention(tokens, tokens, tokens)[0]).mean(0))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masked", ["no", "bool", "float", "heads", "padding", "both", "causal"])
def test_attention_computes_what_torchs_does(batch_first, bias, need_weights, masked):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first).eval()
    ours = Attention(theirs).eval()
    tokens = torch.randn(3, 5, 8)
    tokens = tokens if batch_first else tokens.transpose(0, 1).contiguous()
    cut = torch.ones(5, 5, dtype=torch.bool).triu(1)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 4 + [True]])
    options = {
        "no": {},
        "bool": {"attn_mask": cut},
        "float": {"attn_mask": torch.randn(5, 5)},
        "heads": {"attn_mask": torch.randn(6, 5, 5)},
        "padding": {"key_padding_mask": padding},
        "both": {"attn_mask": cut, "key_padding_mask": padding},
        "causal": {"attn_mask": cut, "is_causal": True},
    }[masked]
    expected, found = (layer(tokens, tokens, tokens, need_weights=need_weights, **options) for layer in (theirs, ours))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert (found[1] is None) == (expected[1] is None)
    if need_weights:
        torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_keys_and_values_of_their_own_and_tokens_without_a_batch_are_taken():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    ours = Attention(theirs).eval()
    for query, key, value in [
        (torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)),
        (torch.randn(3, 8), torch.randn(5, 8), torch.randn(5, 8)),
    ]:
        for mine, other in zip(ours(query, key, value), theirs(query, key, value), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def unfolded():
    torch.manual_seed(0)
    model = Vision().eval()
    pixels = torch.rand(2, *SHAPE)
    expected = model(pixels)
    unfold_attention(model, pixels)
    assert sum(isinstance(module, Attention) for module in model.modules()) == 2
    torch.testing.assert_close(model(pixels), expected, rtol=1e-4, atol=1e-5)
    return model


def test_the_layers_of_attention_have_names_macs_and_weights():
    model = unfolded()
    names = ["patches", "encoder.layers.0.self_attn.in_proj", "encoder.layers.0.self_attn.out_proj"]
    assert list(layer_macs(model, SHAPE))[:3] == names
    assert list(prunable(model, SHAPE)) == [f"{name}.weight" for name in layer_macs(model, SHAPE)]


def test_a_state_of_torchs_attention_is_loaded():
    source, model = Vision(), unfolded()
    model.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(model.attention.in_proj.weight, source.attention.in_proj_weight)
    again = unfolded()
    again.load_state_dict(model.state_dict(), strict=True)


def test_the_documented_lines_load_a_checkpoint_into_torchs_attention(tmp_path, monkeypatch):
    (page,) = re.findall(r"```python\n( *tensors = .*?)```", (ROOT / "docs/bring_a_model.md").read_text(), re.S)
    lines = textwrap.dedent(page)
    module = ModuleType("made_up_networks")
    module.vision = lambda **_: Vision()
    monkeypatch.setitem(sys.modules, "made_up_networks", module)
    spec = spec_of("custom", factory="made_up_networks:vision", arguments={})
    model = build(spec, seed=0).eval()
    assert isinstance(model.network.attention, Attention)
    path = tmp_path / re.search(r'"(.*)"', lines)[1]
    path.parent.mkdir(parents=True)
    save_model(path, model, spec, {"network.attention.in_proj.weight": torch.ones(24, 8, dtype=torch.bool)})
    monkeypatch.chdir(tmp_path)
    network, pixels = Vision().eval(), torch.rand(2, *SHAPE)
    exec(lines, {"safetensors": safetensors, "network": network})
    torch.testing.assert_close(network(model.normalize(pixels)), model(pixels), rtol=1e-4, atol=1e-5)


def test_every_weight_of_a_transformer_is_quantized_and_exported(tmp_path):
    model = unfolded()
    images = torch.randint(0, 256, (20, *SHAPE), dtype=torch.uint8)
    settings = {
        **{"bits": 8, "activation_bits": None, "calibration": "minmax", "percentile": 100, "calibration_images": 20},
        **{"first_last": "quantize", "mode": "ptq", "scales": "fixed"},
    }
    assert export_onnx(tmp_path / "float.onnx", model, images)["close"] == 1
    quantize(model, SHAPE, settings, images, 0)
    size = measure(model, {}, SHAPE)
    assert size["quantized_weights"] == size["weights"] == 8 * 16 + 2 * 4 * 64 + 2 * 8 * 16 + 80
    assert export_onnx(tmp_path / "model.onnx", model, images)["agreement"] > 0.8


class Doubled(nn.MultiheadAttention):
    """An attention of its own is left alone."""

    def forward(self, *tokens, **options):
        output, weights = super().forward(*tokens, **options)
        return 2 * output, weights


@pytest.mark.parametrize(
    "attention", [Doubled(8, 2), nn.MultiheadAttention(8, 2, add_bias_kv=True), nn.MultiheadAttention(8, 2, kdim=4)]
)
def test_other_attention_is_left_as_it_is(attention):
    holder = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    holder.add_module("attention", attention)
    unfold_attention(nn.ModuleList([attention]), torch.rand(2, *SHAPE))
    assert not any(isinstance(module, Attention) for module in holder.modules())
