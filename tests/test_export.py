"""Exported files compute what the model computes; int8 models have the grids and labels of their origin."""

import functools

import numpy as np
import onnx
import pytest
import torch
from attack_fixtures import run
from entry_examples import complete
from model_examples import EXAMPLES, custom_spec, digits, model_of, pixels_of, shape_of, spec_of, split
from onnx import numpy_helper
from torch import nn

from squeezeproof.attacks.objective import fooled
from squeezeproof.audit.deployed import audit_integer
from squeezeproof.audit.findings import Audit
from squeezeproof.compression.external import read_external
from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.quantization import quantize
from squeezeproof.compression.weights import prune_weights
from squeezeproof.deployment import export, integer
from squeezeproof.deployment.plain import logits_of, logits_of_session, plain, run_session
from squeezeproof.errors import InputError, NotSupported
from squeezeproof.models.measure import measure
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.runtime import place


def entry(bits, **changes):
    return complete("compressions", "quantization", bits=bits, **changes)


def images_of(spec, count=60, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, *shape_of(spec)), dtype=torch.uint8, generator=generator)


def quantized(spec, bits, **changes):
    model = model_of(spec)
    quantize(model, shape_of(spec), entry(bits, **changes), images_of(spec), 0)
    return model


@functools.cache
def trained():
    """A CNN-8 that tells digits apart, rounded to 8 bits."""
    spec = spec_of("cnn8", width=8)
    model = model_of(spec)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    images, labels = split(0, 1000)
    for step in range(150):
        batch = slice(100 * step % 1000, 100 * step % 1000 + 100)
        loss = nn.functional.cross_entropy(model(images[batch].float() / 255), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    quantize(model, shape_of(spec), entry(8), images, 0)
    return model


@pytest.mark.parametrize("name", EXAMPLES)
def test_onnx_file_computes_the_logits_of_every_architecture(name, tmp_path):
    spec = EXAMPLES[name]
    model, images = model_of(spec), images_of(spec, 7)
    metadata = export.export_onnx(tmp_path / "model.onnx", model, images)
    assert metadata["images"] == 7 and metadata["agreement"] == 1
    assert metadata["max_difference"] <= 1e-4 * max(1, metadata["largest_logit"])
    session = open_session(tmp_path / "model.onnx")
    for count in (1, 3):
        pixels = pixels_of(spec, count)
        assert np.allclose(run_session(session, pixels.numpy()), model(pixels).detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("error:No complete tensor")
@pytest.mark.parametrize("name", ["cnn8", "residual", "concatenated"])
def test_program_of_torch_export_computes_the_logits_for_any_number_of_images(name, tmp_path):
    spec = EXAMPLES[name]
    model = place(model_of(spec), "cpu")
    metadata = export.export_program(tmp_path / "model.pt2", model, images_of(spec, 7))
    assert metadata["agreement"] == 1 and metadata["max_difference"] <= 1e-5
    program = torch.export.load(str(tmp_path / "model.pt2")).module()
    for count in (1, 3):
        pixels = pixels_of(spec, count)
        assert torch.allclose(program(pixels), model(pixels), atol=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_plain_copy_of_a_quantized_model_is_equal_bit_for_bit_and_can_be_exported(bits, tmp_path):
    spec = EXAMPLES["cnn8"]
    model = quantized(spec, bits)
    pixels = pixels_of(spec, 9)
    assert torch.equal(plain(model)(pixels), model(pixels))
    metadata = export.export_onnx(tmp_path / "model.onnx", model, images_of(spec, 40))
    assert metadata["agreement"] >= 0.99
    assert torch.equal(plain(model)(pixels), model(pixels))


def test_pruned_models_are_exported(tmp_path):
    spec = EXAMPLES["residual"]
    masked, pruned = model_of(spec), model_of(spec)
    prune_weights(masked, 0.5, scope="global", importance="magnitude", seed=0, shape=shape_of(spec), final=True)
    dense = dense_sizes(pruned, shape_of(spec))
    options = {"scope": "layer", "importance": "l1", "measure": "channels", "max_layer_ratio": 1}
    prune_filters(pruned, shape_of(spec), dense, 0.5, **options, sample=None, seed=0, final=True)
    sizes = {}
    for name, model in {"masked": masked, "pruned": pruned}.items():
        assert export.export_onnx(tmp_path / name, model, images_of(spec, 5))["max_difference"] < 1e-4
        sizes[name] = (tmp_path / name).stat().st_size
    assert sizes["pruned"] < 0.6 * sizes["masked"]


class Branching(nn.Module):
    """What it computes depends on the brightness of its images, which a trace does not see."""

    def __init__(self, *, in_channels, num_classes, image_size):
        super().__init__()
        self.fc = nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, pixels):
        logits = self.fc(pixels.flatten(1))
        return logits if float(pixels.mean()) <= 0 else 3 * logits


def branching(**arguments):
    return Branching(**arguments)


def test_a_file_that_computes_something_else_is_an_error_and_no_file_stays(tmp_path):
    spec = {**custom_spec("Residual"), "mean": [0.0], "std": [1.0]}
    spec["architecture"] = {**spec["architecture"], "factory": f"{__name__}:branching"}
    for write in (export.export_onnx, export.export_program):
        with pytest.raises(InputError, match=r"cannot be exported|computes something else"):
            write(tmp_path / "model", model_of(spec), images_of(spec, 5))
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_onnx_runtime_does_not_run_is_refused(tmp_path):
    class Half(nn.Sequential):
        def forward(self, pixels):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return super().forward(pixels).float()

    network = Half(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)).eval()
    with pytest.raises(InputError, match=r"ONNX Runtime does not run the network's ONNX file .* half precision"):
        export.export_onnx(tmp_path / "half.onnx", network, torch.zeros(3, 1, 8, 8, dtype=torch.uint8))
    assert not (tmp_path / "half.onnx").exists()


def test_a_difference_beyond_the_tolerance_is_an_error():
    model = model_of(EXAMPLES["cnn8"])
    images = images_of(EXAMPLES["cnn8"], 10)
    logits = logits_of(model, images)
    assert export.compare(model, images, logits)["close"] == 1
    other = logits.copy()
    other[3, 2] += 0.01 * np.ptp(logits[3])
    with pytest.raises(InputError, match=r"on 10\.00% of 10 test images by more than rounding"):
        export.check(export.compare(model, images, other), "ONNX")
    other[3, 2] = np.nan
    with pytest.raises(InputError, match="differ by up to nan"):
        export.check({**export.compare(model, images, other), "close": 1.0}, "ONNX")


@pytest.mark.parametrize("write", [export.export_onnx, export.export_program])
def test_labels_of_a_rounded_model_that_ties_turn_are_told_and_stop_nothing(write, tmp_path, monkeypatch):
    model, images = quantized(EXAMPLES["cnn8"], 4), images_of(EXAMPLES["cnn8"], 20)
    compare, calls = export.compare, []

    def turned(model, images, found):
        calls.append(model)
        return {**compare(model, images, found), **({"agreement": 0.6, "close": 0.2} if len(calls) == 1 else {})}

    monkeypatch.setattr(export, "compare", turned)
    assert write(tmp_path / "model", model, images)["agreement"] == 0.6
    assert len(calls) == 2 and (tmp_path / "model").exists()


@pytest.mark.parametrize("write", [export.export_onnx, export.export_program])
def test_a_rounded_model_is_compared_without_its_rounding(write, tmp_path, monkeypatch):
    model, images = quantized(EXAMPLES["cnn8"], 4), images_of(EXAMPLES["cnn8"], 20)
    close = export.close
    monkeypatch.setattr(export, "close", lambda expected, found: close(expected, found + torch.rand(10)))
    with pytest.raises(InputError, match="computes something else"):
        write(tmp_path / "model", model, images)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_layer_of_an_int8_model_has_an_integer_kernel_and_its_logits_are_near_the_twins(name, tmp_path):
    spec = EXAMPLES[name]
    fake_quantized = quantized(spec, 8)
    images = images_of(spec, 40, seed=4)
    labels = torch.zeros(40, dtype=torch.int64)
    metadata = integer.export_integer(tmp_path / "model.onnx", fake_quantized, images, labels, images_of(spec), 60, 0)
    assert metadata["integer_layers"] == metadata["layers"] > 0
    assert metadata["max_difference"] < 0.12 * metadata["largest_logit"]
    # Without sums and concatenations there is nothing that the fake-quantized model does not have.
    if name in ("cnn3", "cnn8", "flattened"):
        assert metadata["added_ranges"] == 0


def test_int8_model_of_a_trained_network_labels_as_its_twin_and_its_accuracy_is_counted(tmp_path):
    images, labels = split(1000, 1797)
    path = tmp_path / "model.onnx"
    metadata = integer.export_integer(path, trained(), images, labels, digits()[0][:1000], 512, 0)
    found = logits_of_session(open_session(path), images)
    assert metadata["agreement"] >= 0.997 and metadata["max_difference"] < 0.05 * metadata["largest_logit"]
    assert metadata["accuracy"] == (found.argmax(1) == labels.numpy()).mean() > 0.8
    before = path.read_bytes()
    integer.export_integer(path, trained(), images, labels, digits()[0][:1000], 512, 0)
    assert path.read_bytes() == before


def test_the_exported_int8_file_is_attacked_itself(tmp_path):
    """As whoever has the file alone would: by scores and by labels, and it falls as what it was made of falls."""
    twin, (images, labels) = trained(), split(1200, 1350)
    integer.export_integer(tmp_path / "int8.onnx", twin, images, labels, split(0, 1000)[0], 100, 0)
    settings = complete("compressions", "external", file=str(tmp_path / "int8.onnx"))
    dataset = {"shape": list(images.shape[1:]), "classes": list(range(10)), "mean": [0.0], "std": [1.0]}
    artifact, *_ = read_external(settings["file"], settings, {}, dataset)
    pixels = images / 255
    size = measure(artifact, {}, images.shape[1:])
    assert size["weight_bits"] == 8 * size["weights"] == measure(twin, {}, images.shape[1:])["weight_bits"]

    def accuracy(model, points):
        return (~fooled(model(points), labels)).double().mean().item()

    clean = accuracy(artifact, pixels)
    assert clean > 0.85
    for method in ("square", "rays"):
        own, theirs = (
            run(method, model, pixels, labels, eps=0.15, norm="linf", queries=150) for model in (artifact, twin)
        )
        assert accuracy(artifact, own) < clean - 0.2
        # Within the few images that a search at random may differ by.
        assert accuracy(artifact, own) <= accuracy(artifact, theirs) + 0.03
        assert accuracy(artifact, own) == pytest.approx(accuracy(twin, theirs), abs=0.05)


def test_int8_weights_and_input_grids_are_the_twins():
    fake_quantized = trained()
    graph, layers, added = integer.integer_graph(fake_quantized, (1, 8, 8), digits()[0][:100])
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    for index, name in enumerate(f"network.{layer}" for layer in ("conv1", "conv2", "conv3")):
        layer = fake_quantized.get_submodule(name)
        levels, scale = values[f"integer_weight.{index}"], values[f"integer_weight.{index}.scale"]
        assert levels.dtype == np.int8
        assert np.allclose(
            levels * scale[:, None, None, None], layer.weight_quantizer(layer.weight).detach(), atol=1e-7
        )
        assert np.allclose(scale, layer.weight_quantizer.scale, rtol=1e-5)
        step = layer.input_quantizer.scale.item() * scale
        assert np.allclose(values[f"integer_bias.{index}"] * step, layer.bias.detach(), atol=step.max())
    constants = {value.item() for value in integer._constants(graph.graph).values() if value.size == 1}
    steps = [
        layer.input_quantizer.scale.item() for layer in fake_quantized.modules() if hasattr(layer, "input_quantizer")
    ]
    assert len(steps) == layers == 8 and added == 0
    assert all(min(abs(step - constant) for constant in constants) < 1e-6 * step for step in steps)
    onnx.checker.check_model(graph)


def test_a_channel_without_weights_keeps_its_bias(tmp_path):
    spec = spec_of("cnn8", width=4)
    model = model_of(spec)
    with torch.no_grad():
        model.network.conv1.weight[0] = 0
        model.network.conv1.bias[0] = 7.0
    quantize(model, shape_of(spec), entry(8), images_of(spec), 0)
    labels = torch.zeros(20, dtype=torch.int64)
    metadata = integer.export_integer(tmp_path / "m", model, images_of(spec, 20), labels, images_of(spec), 60, 0)
    assert metadata["max_difference"] < 0.02 * metadata["largest_logit"]


@pytest.mark.parametrize("changes", [{"bits": 4}, {"activation_bits": 32}, {"activation_bits": 16}], ids=str)
def test_int8_is_refused_for_other_widths_and_no_file_stays(changes, tmp_path):
    spec = EXAMPLES["cnn8"]
    model = quantized(spec, **{"bits": 8, **changes})
    images = images_of(spec)
    with pytest.raises(InputError, match="int8 needs a quantization of 8 bits"):
        integer.export_integer(tmp_path / "m", model, images, torch.zeros(60, dtype=torch.int64), images, 9, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("agreement", "verdict"), [(0.99, "pass"), (0.9899, "warning"), (float("nan"), "warning")])
def test_disagreement_of_the_int8_model_marks_every_cell_of_its_twin(agreement, verdict):
    finding = audit_integer("digits", "fake_quantized", {"agreement": agreement, "images": 40})
    assert (finding.check, finding.verdict) == (19, verdict)
    audit = Audit([finding])
    assert audit.warnings("digits", "any source", "fake_quantized", "any attack") == (
        "19" if verdict == "warning" else ""
    )
    assert audit.warnings("digits", "fake_quantized", "another", "any attack") == ""
    assert not audit.failed("digits", "any source", "fake_quantized", "any attack")


class Written(nn.Module):
    """Flattens its maps in one of the ways that people write."""

    def __init__(self, flatten):
        super().__init__()
        self.conv, self.fc, self.flatten = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 10), flatten

    def forward(self, pixels):
        return self.fc(self.flatten(self.conv(pixels).relu()))


WAYS = {
    "len": lambda maps: maps.reshape(len(maps), -1),
    "constant": lambda maps: maps.view(-1, 144),
    "both": lambda maps: maps.reshape(len(maps), 144),
    "size": lambda maps: maps.view(maps.size(0), -1),
    "with other sizes": lambda maps: maps.view(len(maps), 2, 2, *maps.shape[2:]).transpose(1, 2).flatten(1),
    "beside a token": lambda maps: torch.cat([torch.ones(1, 1).expand(len(maps), -1), maps.flatten(1)[:, 1:]], 1),
    "on zeros": lambda maps: maps.flatten(1) + torch.zeros(len(maps), 1) + maps.new_ones((len(maps), 144)),
    "twice": lambda maps: maps.reshape(len(maps), 2, 72).transpose(1, 2).reshape(len(maps), -1),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_number_of_images_stays_free_however_maps_are_flattened(way, tmp_path):
    model = Written(WAYS[way]).eval()
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    assert export.export_onnx(tmp_path / "model.onnx", model, images)["close"] == 1
    for count in (1, 2, 13, 20):
        pixels = torch.rand(count, 1, 8, 8)
        found = run_session(open_session(tmp_path / "model.onnx"), pixels.numpy())
        assert np.allclose(found, model(pixels).detach(), atol=1e-5)


class Frequencies(nn.Module):
    """Has operations that the exporter does not know."""

    def forward(self, pixels):
        return torch.fft.rfft2(pixels).abs().flatten(1)[:, :10]


class Generating(nn.Module):
    """Convolves with kernels that it makes for every image."""

    def __init__(self):
        super().__init__()
        self.maker, self.fc = nn.Linear(64, 4 * 9), nn.Linear(4 * 64, 10)

    def forward(self, pixels):
        kernels = self.maker(pixels.flatten(1)).view(-1, 1, 3, 3)
        maps = nn.functional.conv2d(pixels.transpose(0, 1), kernels, padding=1, groups=len(pixels))
        return self.fc(maps.view(pixels.size(0), -1))


def test_what_an_export_fails_at_is_told_without_the_graph_about_it():
    with pytest.raises(InputError, match=r"cannot be exported to ONNX: .* for kernel of unknown shape\.$"):
        export.onnx_bytes(Generating(), (1, 8, 8))


def test_an_export_that_fails_is_told_in_one_line_and_prints_no_graph(capfd):
    with pytest.raises(InputError, match=r"cannot be exported to ONNX: .*fft_rfft2") as caught:
        export.onnx_bytes(Frequencies(), (1, 8, 8))
    assert "\n" not in str(caught.value) and "graph" not in "".join(capfd.readouterr())


class OfTheTraced(nn.Module):
    """Reshapes maps to the number of images that it was traced on, of which its graph knows no other."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 10)

    def forward(self, pixels):
        maps = self.conv(pixels)
        return self.fc(maps.reshape(2, len(maps) * 2, -1).sin().reshape(len(pixels), -1))


def test_an_int8_model_that_does_not_run_is_not_supported(tmp_path):
    model, images = OfTheTraced().eval(), torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    quantize(model, (1, 8, 8), entry(8), images, 0)
    labels = torch.zeros(40, dtype=torch.int64)
    with pytest.raises(NotSupported, match="images with the exported network, whose Python code depends"):
        integer.export_integer(tmp_path / "int8.onnx", model, images, labels, images, 20, 0)


def test_a_graph_that_takes_only_the_traced_number_of_images_is_an_error(tmp_path):
    model = Written(lambda maps: torch.cat([maps[index : index + 1].flatten(1) for index in range(len(maps))])).eval()
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    with pytest.raises(InputError, match=r"gives \(13, 10\) logits where the model gives \(20, 10\)"):
        export.export_onnx(tmp_path / "model.onnx", model, images)
    assert list(tmp_path.iterdir()) == []
