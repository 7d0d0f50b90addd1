"""Inputs of files that are images in another shape, and what is told of those that are none."""

import onnx
import pytest
import torch
from external_examples import held_out, trained
from torch import nn

from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.errors import InputError
from squeezeproof.models.foreign import open_file, read_file

SHAPE = (1, 8, 8)


class Behind(nn.Module):
    """A network behind a reshape of its inputs to images."""

    def __init__(self, network, shape):
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, values):
        return self.network(values.reshape(-1, *self.shape))


def written(folder, network, image, taken):
    path = folder / "a.onnx"
    path.write_bytes(onnx_bytes(Behind(network, image).eval(), taken))
    return path


@pytest.mark.parametrize("taken", [(8, 8), (64,), (1, 64), (64, 1)])
def test_images_of_one_channel_are_handed_over_in_the_shape_that_a_file_takes(tmp_path, taken):
    model = open_file(written(tmp_path, trained(), SHAPE, taken), shape=SHAPE, classes=10)
    images = held_out()[0].float() / 255
    assert torch.allclose(model(images), trained()(images), atol=1e-4)
    shown = " x ".join(map(str, ("?", *taken)))
    assert any(f"images in the shape {shown}" in note for note in model.notes)
    assert model.network.size(SHAPE)["macs"] > 0


class Weighted(nn.Module):
    """Ten numbers that tell the order of an image's numbers."""

    def forward(self, values):
        return values.flatten(1) @ torch.linspace(-1, 1, 48 * 10).reshape(48, 10)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_flat_images_of_several_channels_need_the_layout(tmp_path, layout):
    path = written(tmp_path, Weighted(), (3, 4, 4), (48,))
    with pytest.raises(InputError, match=r"may be of both layouts; write layout: nchw, or layout: nhwc, in"):
        read_file(path, (3, 4, 4), 10)
    images = torch.rand(5, 3, 4, 4)
    ordered = images if layout == "nchw" else images.permute(0, 2, 3, 1)
    model = open_file(path, shape=(3, 4, 4), classes=10, layout=layout)
    assert torch.allclose(model(images), Weighted()(ordered), atol=1e-5)


def test_other_inputs_are_told_with_what_to_export(tmp_path):
    path = written(tmp_path, trained(), SHAPE, (2, 32))
    with pytest.raises(InputError, match=r"takes inputs of \? x 2 x 32, an image .* 1 x 8 x 8 .*; export the network"):
        read_file(path, SHAPE, 10)


def test_a_file_of_images_has_no_other_shape(tmp_path):
    reading, _, _ = read_file(written(tmp_path, trained(), SHAPE, SHAPE), SHAPE, 10)
    assert "shape" not in reading


class Ends(nn.Module):
    def __init__(self, ends):
        super().__init__()
        self.network, self.ends = trained(), ends

    def forward(self, images):
        return self.ends(self.network(images))


def several(folder, ends):
    path = folder / "a.onnx"
    torch.onnx.export(Ends(ends).eval(), (torch.zeros(1, *SHAPE),), path, dynamo=False, output_names=["a", "b"])
    return path


@pytest.mark.parametrize(("name", "shown"), [("a", "a"), ("1893", '"1893"')])
def test_several_outputs_are_told_as_make_check_and_a_config_name_one(tmp_path, name, shown):
    path = several(tmp_path, lambda logits: (logits, logits.softmax(1)))
    model = onnx.load(path)
    for node in model.graph.node:
        for place in (node.input, node.output):
            place[:] = [name if each == "a" else each for each in place]
    model.graph.output[0].name = name
    onnx.save(model, path)
    told = rf"write output: {shown}, or another, in .*OPTIONS='\{{output: {shown}\}}' of make check"
    with pytest.raises(InputError, match=told):
        read_file(path, SHAPE, 10)


def test_the_best_few_classes_are_told_how_to_be_exported(tmp_path):
    path = several(tmp_path, lambda logits: tuple(logits.topk(3, 1)))
    told = r"; export the network again with the scores \(logits\) as its only output, before the topk$"
    with pytest.raises(InputError, match=told):
        read_file(path, SHAPE, 10)
