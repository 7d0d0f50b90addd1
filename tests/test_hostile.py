"""Input of strangers: configs, checkpoints, data sets and archives do what they are for, or are refused by name."""

import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, TINY
from fuzz_targets import HOSTILE, SPECS
from PIL import Image
from safetensors.torch import load_file
from study_examples import merged
from torch import nn
from torchvision.datasets.utils import download_and_extract_archive

from squeezeproof import factories, untrusted
from squeezeproof.datasets import downloads
from squeezeproof.datasets.image_folder import load_image_folder
from squeezeproof.datasets.prepare import prepare
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.store.tensors import open_tensors, read_arrays, read_metadata, write_tensors
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

# --- Names and paths in configs

NAMES = [name for name in HOSTILE if not name.isalpha()] + [
    "a/b",
    "a\\b",
    "C:",
    "a,b",
    "$HOME",
    "!x",
    "#x",
    "%s",
    "a\tb",
]
SECTIONS = ["datasets", "architectures", "trainings", "finetunings", "compressions", "attacks"]


def problems_of(changes):
    with pytest.raises(ConfigError) as caught:
        Study(merged(TINY, changes))
    return caught.value.problems


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_that_a_shell_a_path_or_a_wildcard_would_read_are_refused(name):
    assert any(problem.startswith("study: ") for problem in problems_of({"study": name}))
    for section in SECTIONS:
        [entry, *_] = TINY[section].values()
        assert any("a name is a letter followed by" in problem for problem in problems_of({section: {name: entry}}))


@pytest.mark.parametrize(
    "table",
    ["/etc/passwd", "../x.csv", "a/../../x.csv", "a/..", "..", "~/x.csv", "$(id).csv", "{study}.csv", "a b.csv",
     "x.csv\n", "-x.csv", "", "http://x/y.csv", "a\\..\\x.csv", "x" * 300],
)  # fmt: skip
def test_a_table_of_published_numbers_stays_in_the_working_directory(table):
    [problem] = problems_of({"published": {"table": table}})
    assert problem.startswith("published.table: ") and "stays in the working directory" in problem


@pytest.mark.parametrize("table", ["x.csv", "studies/published/wang2018.csv", "./a..b/c.csv", ".hidden/x"])
def test_a_table_in_the_working_directory_is_allowed(table):
    assert Study(merged(TINY, {"published": {"table": table}})).published["table"] == table


# --- Configs that are bombs


def laughs():
    """Ten levels of ten aliases each: ten thousand million values in 700 bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 11)]
    return yaml.safe_load("\n".join(lines))["a10"]


def nested():
    value = []
    for _ in range(5000):
        value = [value]
    return value


def circular():
    value = []
    value.append(value)
    return value


BOMBS = {
    "aliases": laughs, "nested": nested, "circular": circular, "long text": lambda: "x" * 10**7,
    "long key": lambda: {"x" * 10**7: 1}, "digits": lambda: 10**10_000, "list": lambda: [0] * 10**6,
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("place", ["study", "question", "seeds", "arguments"])
def test_a_config_that_is_a_bomb_is_refused_in_few_words(bomb, place):
    value = BOMBS[bomb]()
    custom = {"kind": "custom", "factory": "mine:net", "arguments": {"x": value}}
    changes = {"architectures": {"mine": custom}} if place == "arguments" else {place: value}
    [problem] = problems_of(changes)
    assert len(problem) < 500


# --- Factories

PYTHONS = ["os:system", "subprocess:run", "builtins:eval", "posix:system", "importlib.util:module_from_spec", "pdb:run"]
INSTALLED = ["torch.hub:load", "torch:load", "numpy:load", "yaml:load", "snakemake.shell:shell", "no_such_package:make"]


@pytest.mark.parametrize("factory", PYTHONS)
def test_pythons_own_functions_are_no_networks_whatever_the_config_says(factory):
    package = factory.partition(":")[0].partition(".")[0]
    custom = {"architectures": {"mine": {"kind": "custom", "factory": factory}}, "allow_factories": [package]}
    [problem] = problems_of(custom)
    assert problem.startswith("architectures.mine.factory: ") and "part of Python itself" in problem


@pytest.mark.parametrize("factory", INSTALLED)
def test_an_installed_package_is_called_only_where_the_config_says_so(factory):
    package = factory.partition(":")[0].partition(".")[0]
    custom = {"architectures": {"mine": {"kind": "custom", "factory": factory}}}
    [problem] = problems_of(custom)
    assert problem.startswith("architectures.mine.factory: ") and f"allow_factories: [{package}]" in problem
    Study(merged(TINY, {**custom, "allow_factories": package}))


@pytest.mark.parametrize("name", ["", "a.b", "a b", "../a", "os;id", 3])
def test_allowed_packages_are_names(name):
    assert all(problem.startswith("allow_factories") for problem in problems_of({"allow_factories": [name]}))


def test_a_plan_imports_no_factory(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    config = merged(TINY, {"architectures": {"mine": {"kind": "custom", "factory": "mine:net"}}})
    code = (
        "import json, sys; from squeezeproof.study.plan import Study; Study(json.loads(sys.argv[1]));"
        "assert 'mine' not in sys.modules and 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow_scripts'}:{tmp_path}"}
    subprocess.run([sys.executable, "-c", code, json.dumps(config)], env=environment, cwd=tmp_path, check=True)


@pytest.mark.parametrize("factory", [*PYTHONS, *INSTALLED])
def test_a_checkpoint_that_names_a_foreign_factory_calls_nothing(tmp_path, factory, monkeypatch):
    write_checkpoint(tmp_path / "model", {"kind": "custom", "factory": factory, "arguments": {}})
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(InputError, match="cannot be rebuilt from its specification") as caught:
        load_model(tmp_path / "model")
    assert f"factory {factory}: " in str(caught.value)


def test_a_module_of_the_working_directory_that_another_hides_is_not_called(tmp_path, monkeypatch):
    """The file is there, but Python finds an installed package of its name first."""
    (tmp_path / "safetensors.py").write_text("")
    monkeypatch.chdir(tmp_path)
    spec = {**SPECS[0], "architecture": {"kind": "custom", "factory": "safetensors:safe_open", "arguments": {}}}
    with pytest.raises(InputError, match="hides the module of that name under the working directory"):
        build(spec, seed=0)


def test_own_modules_are_called_from_packages_too(tmp_path, monkeypatch):
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "small.py").write_text(
        "from torch import nn\ndef net(*, in_channels, num_classes, image_size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    spec = {**SPECS[0], "architecture": {"kind": "custom", "factory": "mynets.small:net", "arguments": {}}}
    assert build(spec, seed=0)(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


def test_a_job_learns_from_its_config_what_is_allowed(tmp_path, monkeypatch):
    from squeezeproof.jobs import job

    monkeypatch.setattr(factories, "_allowed", set())
    for config in ({}, {"allow_factories": "one"}, {"allow_factories": ["two", "three"]}):
        with job(SimpleNamespace(rule="train", log=[str(tmp_path / "log")], config=config)):
            pass
    assert factories._allowed == {"one", "two", "three"}


# --- Checkpoints and tensor files


def write_checkpoint(path, architecture, **metadata):
    """A small model's checkpoint whose specification names another architecture."""
    save_model(path, build(SPECS[0], seed=0), SPECS[0], name="model")
    arrays, metadata = read_arrays(path), read_metadata(path)
    metadata["specification"] = {**metadata["specification"], "architecture": architecture, **metadata}
    write_tensors(path, arrays, metadata)


HUGE = [
    {"kind": "cnn8", "width": 10_000},
    {"kind": "cnn8", "width": 10**12},
    {"kind": "cnn3", "width": "4"},
    {"kind": "wrn", "depth": 9_994, "widen_factor": 10_000},
    {"kind": "densenet121", "growth": 10_000, "blocks": [9_999, 9_999]},
    {"kind": "densenet121", "growth": 1, "blocks": [1] * 10_000},
    {"kind": "resnet50", "width": -1},
    {"kind": "ensemble", "members": [SPECS[0]] * 1000},
    {"kind": "ensemble", "members": [{**SPECS[0], "architecture": {"kind": "ensemble", "members": [SPECS[0]]}}]},
]


@pytest.mark.parametrize("architecture", HUGE, ids=lambda entry: f"{entry['kind']}-{[*entry.values()][-1]!r:.20}")
def test_a_checkpoint_of_absurd_size_is_refused_before_memory_is_taken(tmp_path, architecture):
    if architecture["kind"] != "ensemble":
        architecture = {"normalization": "dataset", **architecture}
    write_checkpoint(tmp_path / "model", architecture)
    with pytest.raises(InputError, match="cannot be rebuilt"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("metadata", [{"image_size": 9_999}, {"num_classes": 10**9}, {"in_channels": 10**6}])
def test_a_checkpoint_of_absurd_images_is_refused(tmp_path, metadata):
    write_checkpoint(tmp_path / "model", SPECS[1]["architecture"], **metadata)
    with pytest.raises(InputError, match="cannot be rebuilt"):
        load_model(tmp_path / "model")


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def array(dtype, shape, *offsets):
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


ABSURD = {
    "length of 2**63": raw({}, length=2**63),
    "length of 2**64 - 1": raw({}, length=2**64 - 1),
    "length of 90 MB": raw({}, length=90 << 20) + bytes(1000),
    "really 20 MB": raw(b"{" + b" " * (20 << 20) + b"}"),
    "no JSON": raw(b"\x80\x04K\x01."),
    "a list": raw([]),
    "nested": raw(b"[" * 100_000 + b"]" * 100_000),
    "overlapping": raw({"a": array("F32", [2], 0, 8), "b": array("F32", [2], 4, 12)}, bytes(12)),
    "backwards": raw({"a": array("F32", [2], 8, 0)}, bytes(8)),
    "beyond the end": raw({"a": array("F32", [2], 0, 8)}, bytes(4)),
    "a hole": raw({"a": array("F32", [1], 4, 8)}, bytes(8)),
    "more data": raw({"a": array("F32", [1], 0, 4)}, bytes(8)),
    "a lie of type": raw({"a": array("F64", [2], 0, 8)}, bytes(8)),
    "a lie of shape": raw({"a": array("F32", [10**6, 10**6], 0, 8)}, bytes(8)),
    "an overflow": raw({"a": array("F32", [2**62, 4], 0, 0)}),
    "no such type": raw({"a": array("OBJECT", [1], 0, 8)}, bytes(8)),
    "a pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("content", ABSURD.values(), ids=ABSURD)
def test_an_absurd_header_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=r"file: not a readable safetensors file"):
        open_tensors(tmp_path / "file")


@pytest.mark.parametrize(
    "body", ["[" * 10_000, "9" * 5_000, "null", "[]", '{"metadata": 1, "arrays": {}}', '{"metadata": {}}', ""]
)
def test_metadata_that_is_none_is_refused(tmp_path, body):
    digest = hashlib.sha256(body.encode()).hexdigest()
    header = {"__metadata__": {"squeezeproof": f"{digest} {body}"}}
    (tmp_path / "file").write_bytes(raw(header))
    with pytest.raises(InputError, match="its metadata is not what this program writes"):
        read_metadata(tmp_path / "file")


# --- A torch file from elsewhere


def convert(*arguments):
    command = [sys.executable, str(ROOT / "workflow_scripts" / "tools" / "convert_checkpoint.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def test_a_torch_state_dict_becomes_safetensors(tmp_path):
    layer = nn.Linear(3, 2)
    state = {**layer.state_dict(), "tied": layer.weight, "strided": torch.arange(6.0).reshape(2, 3).T}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "in.pt")
    done = convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert done.returncode == 0 and "took the entry state_dict" in done.stdout
    assert "4 tensors, 20 numbers" in done.stdout
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def refused(tmp_path, thing, key=None):
    sys.path.insert(0, str(ROOT / "workflow_scripts"))
    from convert_checkpoint import convert as converted

    torch.save(thing, tmp_path / "in.pt")
    with pytest.raises(InputError) as caught:
        converted(tmp_path / "in.pt", tmp_path / "out.safetensors", key)
    assert not (tmp_path / "out.safetensors").exists()
    # Code is run by those alone who are told that it is code.
    assert "weights_only" not in str(caught.value) or "where you trust it, as this runs its code" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("thing", "problem"),
    [
        (Hostile(), "asks for posix.system, which no weights need"),
        ({"weight": Hostile()}, "asks for posix.system, which no weights need"),
        ({"weight": torch.zeros(2), "more": Hostile()}, "asks for posix.system, which no weights need"),
        (nn.Linear(2, 2), "is a whole pickled Linear, which is code"),
        ({"weight": 3}, "holds no state_dict"),
        ({3: torch.zeros(1)}, "holds no state_dict"),
        ({"weight": torch.zeros(2, 2).to_sparse()}, "'weight' is no dense tensor"),
        ([torch.zeros(1)], "holds no state_dict"),
        ({}, "holds no state_dict"),
    ],
)
def test_a_torch_file_of_more_than_tensors_is_refused(tmp_path, thing, problem):
    assert problem in refused(tmp_path, thing)
    assert not os.path.exists("/tmp/never")


def test_a_missing_entry_of_a_torch_file_is_named(tmp_path):
    held = {"net": {"weight": torch.zeros(2)}}
    assert "has no entry 'model'; write --key net" in refused(tmp_path, held, "model")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(50), b"not a checkpoint", pickle.dumps({"a": 1})])
def test_what_is_no_torch_file_is_refused(tmp_path, content):
    (tmp_path / "in.pt").write_bytes(content)
    done = convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert done.returncode == 1 and f"{tmp_path / 'in.pt'}: " in done.stderr and "Traceback" not in done.stderr


# --- Data sets


@pytest.mark.parametrize("member", ["../slipped", "/tmp/slipped-hostile", "link/slipped"])
def test_an_archive_that_would_leave_its_folder_is_not_unpacked(tmp_path, member):
    """Only archives of a known MD5 are unpacked, so that what they hold is known too."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        if member.startswith("link"):
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            archive.addfile(link)
        info = tarfile.TarInfo(member)
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    root = tmp_path / "root" / "raw"
    root.mkdir(parents=True)
    (root / "cifar.tar.gz").write_bytes(buffer.getvalue())

    def download():
        download_and_extract_archive("http://127.0.0.1:9/", root, filename="cifar.tar.gz", md5="0" * 32)

    with pytest.raises(InputError, match="the download failed"):
        downloads._provide(root, {"data_batch_1": "0" * 32}, True, download)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]
    assert left == ["cifar.tar.gz"]
    assert not os.path.exists("/tmp/slipped-hostile")


SETTINGS = {"size": 4, "channels": 3, "background": "#ffffff"}


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "0.png")
    return tmp_path


def refusal(folder, **options):
    with pytest.raises(InputError) as caught:
        for images, _ in load_image_folder({**SETTINGS, "root": str(folder), **options})[:2]:
            images[:]
    return str(caught.value)


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "\x1b[31m", "\u202egnp", "x" * 101])
def test_a_class_of_an_unprintable_name_is_refused(folder, name):
    for split in ("train", "test"):
        (folder / split / "cat").rename(folder / split / name)
    assert "is no name for a class" in refusal(folder)


def test_what_is_no_file_is_not_waited_for(folder):
    os.mkfifo(folder / "train" / "cat" / "1.png")
    assert "1.png: not a file" in refusal(folder)


def test_a_file_that_is_too_large_is_refused_unread(folder):
    with open(folder / "train" / "cat" / "1.png", "wb") as file:
        file.truncate(untrusted.MAX_IMAGE_BYTES + 1)
    assert "256 MB are more than an image" in refusal(folder)


def test_more_images_than_memory_holds_are_refused(folder, monkeypatch):
    monkeypatch.setattr("squeezeproof.datasets.prepare.MAX_BYTES", 2 * 3 * 4 * 4 - 1)
    settings = {**SETTINGS, "kind": "image_folder", "root": str(folder)}
    settings |= {"train": None, "validation": 0, "test": None, "subset_seed": 0}
    with pytest.raises(InputError, match=r"datasets\.mine: its 2 train images take more than"):
        prepare(settings, {}, "mine")


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA"])
def test_formats_whose_decoders_are_rarely_looked_at_are_refused(folder, kind):
    Image.new("RGB", (8, 8)).save(folder / "train" / "cat" / "1.png", kind)
    assert "1.png: not a readable image" in refusal(folder)


def test_a_tilde_is_the_users_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    (_, labels), _, classes = load_image_folder({**SETTINGS, "root": f"~/{folder.name}"})
    assert classes == ["cat", "dog"] and np.array_equal(labels, [0, 1])
    root = {"kind": "image_folder", "root": f"~/{folder.name}", "size": 8}
    [problem] = problems_of({"datasets": {"mine": root}, "attacks": {"pgd": {"loss": "dlr"}}})
    assert "needs at least 3 classes, datasets.mine has 2" in problem


def test_a_dollar_sign_in_the_name_of_a_class_is_no_formula(tmp_path):
    import matplotlib.pyplot as plt

    from squeezeproof.figures.style import save

    figure, axes = plt.subplots()
    axes.set_title(r"$\frac{ $ and <b>&amp;")
    save(figure, [tmp_path / "figure.svg", tmp_path / "figure.png"])
    assert "<b>" not in (tmp_path / "figure.svg").read_text()
