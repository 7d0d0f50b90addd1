"""The study that `make check` writes is readable, and says what was understood."""

import re
import shlex

import pytest
import yaml
from check_examples import NETWORK, folder, safetensors, trained
from safetensors.torch import save_file
from torch import nn

from squeezeproof.compression.negatives import Inverted
from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.entries.settings import read_number
from squeezeproof.errors import InputError
from squeezeproof.from_files.study import Asked, understand
from squeezeproof.models.normalize import Normalize
from squeezeproof.store.converted import header
from squeezeproof.study.files import read_file
from squeezeproof.study.plan import Study
from squeezeproof.study.quick import ATTACKS, batch_size, budgets, in_minutes, radii
from squeezeproof.study.tables import design


@pytest.fixture(scope="module")
def base():
    return trained()


def asked(base, tmp_path, compressed=None, **changes):
    tmp_path.mkdir(exist_ok=True)
    path = safetensors(base, tmp_path / "base.safetensors")
    compressed = compressed or safetensors(base, tmp_path / "3 small.v2.safetensors")
    written = {"BASE": path, "COMPRESSED": compressed, "IMAGES": "images"}
    given = {"base": path, "compressed": compressed, "images": str(folder(tmp_path / "images"))}
    given |= {"study": tmp_path / "check.yaml", "files": tmp_path / "files", "architecture": NETWORK}
    return Asked(**given | {"written": written} | changes)


def test_the_study_is_readable_and_says_what_was_understood(base, tmp_path):
    found = understand(asked(base, tmp_path))
    config = yaml.safe_load(found.text)
    study = Study(config)
    [(dataset, name)] = [key for key in study.models if not study.model(*key).is_base]
    assert re.fullmatch("check-m3_small_v2-[0-9a-f]{6}", study.name)
    assert str(found.page) == f"results/{study.name}/replacement/{dataset}/{name}.html"
    assert set(study.pairs) == {("images", *pair) for pair in [(a, b) for a in names(study) for b in names(study)]}
    assert config["attacks"].keys() == ATTACKS.keys() and config["attacks"]["pgd"]["eps"] == [0.05, 0.2]
    assert config["question"] == "May 3 small.v2.safetensors replace base.safetensors?"
    assert len(found.lines) == 5 and all("\n" not in line for line in found.lines)
    assert all(len(line) < 200 for line in found.text.splitlines() if not line.startswith("#") and "root" not in line)


def test_the_command_at_the_head_of_the_study_can_be_pasted(base, tmp_path):
    given = asked(base, tmp_path)
    given.written["ARCHITECTURE"] = "{kind: cnn8, width: 8}"
    command = understand(given).text.splitlines()[1].removeprefix("# ")
    assert shlex.split(command) == ["make", "check", *(f"{name}={text}" for name, text in given.written.items())]


@pytest.mark.parametrize("stem", ["no", "null", "none", "y", "on", "1e5", "0x1f", "2024-01-01", "_", "é", "base"])
def test_a_file_may_have_any_name(base, tmp_path, stem):
    found = understand(asked(base, tmp_path, safetensors(base, tmp_path / f"{stem}.safetensors")))
    (tmp_path / "check.yaml").write_text(found.text)
    study = Study(read_file(tmp_path / "check.yaml"))
    assert len(study.models) == 2


def test_a_folder_of_any_name_can_be_pasted(base, tmp_path):
    place = tmp_path / "my models"
    place.mkdir()
    found = understand(asked(base, tmp_path, study=place / "check.yaml"))
    command = shlex.split(found.text.splitlines()[3].removeprefix("# "))
    assert command[4] == str(place / "check.yaml")


def test_classes_that_are_numbers_are_tried_in_their_order(base, tmp_path):
    """The names are sorted as texts, and a network may have been trained on numbers."""
    numbers = {
        r"labels [\d.]+% of the images right so, and labels 9": [0, 1, 2, 3, 4, 5, 7, 60, 600, 9999],
        "knows nothing so, and labels 9": range(2, 12),
    }
    for told, names in numbers.items():
        place = tmp_path / str(len(told))
        given = asked(base, place)
        for number, name in list(enumerate(names))[::-1]:
            (place / "images" / str(number)).rename(place / "images" / str(name))
        with pytest.raises(InputError, match=f"in which 10 comes before 2; the base {told}"):
            understand(given)


def test_readings_of_a_file_that_images_cannot_tell_apart_are_named(base, tmp_path):
    """Of a network that brightness hardly matters to, its pixels may be in [0, 1] or in bytes."""
    path = tmp_path / "small.onnx"
    # In pixels and in bytes most images are of one class.
    path.write_bytes(onnx_bytes(nn.Sequential(base, Scaled()), (1, 8, 8)))
    lines = understand(asked(base, tmp_path, str(path))).lines
    assert "normalization half, " in lines[1] and not {"none", "bytes"} & set(re.findall(r"[a-z]+", lines[1]))
    told = asked(base, tmp_path, str(path), normalization="half", options={"normalization": "half"})
    assert "doubts" not in understand(told).text
    path.write_bytes(onnx_bytes(nn.Sequential(Levelled(), base), (1, 8, 8)))
    found = understand(asked(base, tmp_path, str(path), normalization="half"))
    told = r"\(so or nearly so by normalization [A-Za-z -]+: OPTIONS='\{normalization: \.\.\.\}' says which\)"
    assert re.search(told, found.lines[1])
    study = Study(yaml.safe_load(found.text))
    [doubt] = design(study)["doubts"]
    told = r"80 images do not tell by which normalization the compressed model is to be read: .* \(taken\)"
    assert re.match(told, doubt)


def test_an_entry_of_a_file_that_is_taken_of_several_is_in_doubt(base, tmp_path):
    compressed = str(tmp_path / "small.safetensors")
    note = "took the entry model, not ema, which COMPRESSED_KEY= would take"
    save_file(base.state_dict(), compressed, header(["wrote 2 tensors as float32", note]))
    doubts = yaml.safe_load(understand(asked(base, tmp_path, compressed, normalization="half")).text)["doubts"]
    assert doubts == [f"COMPRESSED={compressed}: {note}"]


def test_a_file_that_takes_negatives_ends_the_check_with_what_to_export(base, tmp_path):
    """It was answered as broken, or ended by a job of the study."""
    path = tmp_path / "small.onnx"
    path.write_bytes(onnx_bytes(nn.Sequential(Inverted(), Normalize([0.5], [0.5]), base), (1, 8, 8)))
    told = r"small\.onnx: labels .* the right one: inverted pixels .* let its network begin with \(?1 - pixels"
    with pytest.raises(InputError, match=told):
        understand(asked(base, tmp_path, str(path)))


class Scaled(nn.Module):
    def forward(self, logits):
        return 2 * logits


class Levelled(nn.Module):
    """Brings pixels of any brightness to those that the base knows, and forgets a little."""

    def forward(self, pixels):
        pixels = pixels / pixels.amax((1, 2, 3), keepdim=True).clamp_min(0.01)
        return 2 * (pixels + 0.5 * (pixels.sum((1, 2, 3), keepdim=True) % 0.5)) - 1


def test_a_file_that_holds_its_network_is_read_by_trying_too(base, tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(onnx_bytes(base, (1, 8, 8)))
    found = understand(asked(base, tmp_path, str(path)))
    config = yaml.safe_load(found.text)
    assert config["compressions"]["small"]["normalization"] == "half"
    assert "normalization half, " in found.lines[1] and "as the base in 100.0%" in found.lines[1]
    assert "those with gradients on the base alone" in found.lines[4]
    study = Study(config)
    followed = {attack for (_, source), attacks in study.sets.items() if ".small." in source for attack in attacks}
    assert followed == {"noise-eps0.2", "square-eps0.05", "square-eps0.2", "rays-eps0.2"}
    of_base = {attack for (_, source), attacks in study.sets.items() if ".none." in source for attack in attacks}
    assert of_base == followed | {"apgd-eps0.05", "apgd-eps0.2"}
    tried = {attack for (_, target, source), attacks in study.pairs.items() if target != source for attack in attacks}
    assert tried == {"noise-eps0.2", "apgd-eps0.05", "apgd-eps0.2"}
    assert "APGD 25 steps, tried on both" in found.lines[4] and "RayS 100 queries (at 0.2 alone)" in found.lines[4]


def test_options_that_cannot_be_meant_are_named(base, tmp_path):
    with pytest.raises(InputError, match=r"OPTIONS=: layout: 'nchv' is unknown, did you mean nchw"):
        understand(asked(base, tmp_path, options={"layout": "nchv"}))


def names(study):
    return [model.name for model in study.models.values()]


def test_what_a_person_says_goes_before_what_is_usual(base, tmp_path):
    changes = {"eps": ["1/255", "0.3"], "count": 40, "normalization": "half", "compressed_architecture": NETWORK}
    found = understand(asked(base, tmp_path, **changes))
    config = yaml.safe_load(found.text)
    assert config["attacks"]["apgd"]["eps"] == ["1/255", 0.3] and config["datasets"]["images"]["test"] == 40
    # A network of its own is read as its base, as far as the images tell.
    assert config["compressions"]["m3_small_v2"]["architecture"] == {**NETWORK, "normalization": "half"}
    assert "none" not in found.lines[0]


@pytest.mark.parametrize(("channels", "side", "larger"), [(1, 28, 0.2), (3, 32, 8 / 255), (3, 224, 4 / 255)])
def test_budgets_fit_the_images(channels, side, larger):
    smaller, found = (float(read_number(text)) for text in budgets(channels, side))
    assert smaller < found == pytest.approx(larger)


def test_the_longest_attacks_end_where_they_succeed_and_the_weakest_are_at_the_largest_budget():
    assert in_minutes(gradients=True).keys() == ATTACKS.keys() and "pgd" not in in_minutes(gradients=False)
    for gradients in (True, False):
        stops = {method for method, settings in in_minutes(gradients).items() if settings.get("stop_on_success")}
        assert stops == ({"apgd", "square"} if gradients else {"rays", "square"})
    assert radii("rays", ["8/255", 0.02]) == ["8/255"] and radii("apgd", ["8/255", 0.02]) == ["8/255", 0.02]
    assert radii("noise", ["8/255", "nine"]) == ["8/255", "nine"]


@pytest.mark.parametrize(("side", "images"), [(8, 128), (28, 128), (32, 128), (64, 32), (224, 8)])
def test_a_pass_is_of_fewer_images_where_they_are_large(side, images):
    assert batch_size(side) == images
