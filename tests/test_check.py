"""`make check`: two files and a folder of images become a study that a person can read, and one page."""

import copy
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import check as check_command
import pytest
import torch
import yaml
from check_examples import folder, safetensors, trained
from conftest import ROOT, Workspace
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from squeezeproof.errors import InputError
from squeezeproof.from_files.equal import refuse_equal
from squeezeproof.from_files.study import Asked, question, understand


@pytest.fixture(scope="module")
def base():
    return trained()


def with_pruned(base, place, amount):
    """A workspace with images, the base, and it with a share of the weights of every layer pruned."""
    workspace = Workspace.create(place / "study", {})
    folder(workspace.path / "my/images", 120)
    network = copy.deepcopy(base)
    torch.save(network.state_dict(), workspace.path / "my/base.pt")
    for layer in [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]:
        prune.l1_unstructured(layer, "weight", amount=amount)
    torch.save(network.state_dict(), workspace.path / "my/small.pt")
    return workspace


def test_two_files_and_a_folder_become_a_page(base, tmp_path):
    workspace = with_pruned(base, tmp_path, amount=0.7)
    place = workspace.path / "my"

    done = check(workspace.path, ARCHITECTURE="{kind: cnn8, width: 8}", EPS="0.1")

    assert done.returncode == 0, done.stdout
    page = (place / "small.pt.check.html").read_text()
    assert "The page: my/small.pt.check.html" in done.stdout and "normalization half" in done.stdout
    [answer] = re.findall("<h1>(.*?)</h1>", page)
    _, told = done.stdout.split(f"\n{answer}\n")
    doubts = re.findall('<p class="doubt">(.*?)</p>', page)
    assert [*map(html.unescape, doubts), "The page: my/small.pt.check.html"] == told.strip().splitlines()
    assert all(doubt.startswith("In doubt: 100 images do not tell by which") for doubt in doubts)
    assert "May small.pt replace base.pt?" in page
    assert "100 of the test split of images, 10 classes" in page
    [files] = (place / "check-files").iterdir()
    made = f"<dd>my/check-files/{files.name}"
    assert f"{made}/base/base.pt.safetensors (base.given.none.none.s0 in the tables)</dd>" in page
    assert f"{made}/compressed/small.pt.safetensors (base.given.small.none.s0 in the tables)</dd>" in page
    for text in ("Size", "of these zero", "multiplied 8 weights by the masks of torch.nn.utils.prune"):
        assert text in page, text
    # The base that is attacked again is no name of the study's.
    assert "base.given." not in page.partition("<dt>Base</dt>")[0]

    (place / "small.pt.check.yaml").write_text("study: mine\n")
    broken = check(
        workspace.path, ARCHITECTURE="{kind: cnn8, width: 8}", EPS="0.1", COUNT="50", COMPRESSED="my/none.pt"
    )
    assert broken.returncode and "COMPRESSED=my/none.pt: there is no such file" in broken.stdout
    assert (place / "small.pt.check.yaml").read_text() == "study: mine\n"


@pytest.mark.slow
def test_a_model_that_pruning_broke_is_answered_and_not_taken_for_misread(base, tmp_path):
    """Its file is read as its base is: that another normalization suits the wreck better says nothing."""
    workspace = with_pruned(base, tmp_path, amount=0.99)

    done = check(workspace.path, ARCHITECTURE="{kind: cnn8, width: 8}", EPS="0.1")

    assert done.returncode == 0, done.stdout
    assert "\nDo not ship: " in done.stdout, done.stdout


def check(folder, **said):
    values = {"BASE": "my/base.pt", "COMPRESSED": "my/small.pt", "IMAGES": "my/images"} | said
    command = [sys.executable, "workflow_scripts/tools/check.py", "--cores", "2"]
    command += [part for name, value in values.items() for part in (f"--{name.lower()}", value)]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_a_whole_module_is_refused_with_the_lines_that_make_a_state_dict(base, tmp_path, name):
    files = {one: tmp_path / f"{one}.pt" for one in ("base", "compressed")}
    for one, path in files.items():
        torch.save(base if one == name else base.state_dict(), path)
    given = {**dict.fromkeys(check_command.FURTHER), **{one: str(path) for one, path in files.items()}, "images": ""}
    with pytest.raises(InputError, match=rf"(?s){name}\.pt.*state_dict\(\)"):
        check_command.ask(SimpleNamespace(**given))


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_messages_name_the_files_of_a_person_and_not_their_copies(base, tmp_path, monkeypatch, name):
    """What is wrong is seen in the safetensors file that is made of a torch file."""
    other = nn.Sequential(nn.Conv2d(1, 3, 3))
    files = {one: tmp_path / f"{one}.pt" for one in ("base", "compressed")}
    for one, path in files.items():
        torch.save((other if one == name else base).state_dict(), path)
    said = {**files, "images": folder(tmp_path / "images"), "architecture": "{kind: cnn8, width: 8}"}
    words = [str(word) for key, value in said.items() for word in (f"--{key}", value)]
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    with pytest.raises(SystemExit) as ended:
        check_command.main()
    told = str(ended.value)
    assert f"{files[name]}: " in told and "check-files" not in told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"eps": "8"}, r"EPS=8: '8' is no radius in \(0, 1\]; write EPS=8/255"),
        ({"eps": "0.1,abc"}, r"EPS=0\.1,abc: 'abc' is no radius"),
        ({"eps": ","}, "'' is no radius"),
        ({"eps": "0.1,1/10"}, "the same radius stands there twice"),
        ({"compressed": "base.safetensors"}, r"BASE=.*base\.safetensors, COMPRESSED=.*base\.safetensors: are one file"),
        ({"compressed": "images"}, r"COMPRESSED=.*images: is a folder; name the file in it"),
        ({"base": "link.pt"}, r"BASE=.*link\.pt: is a link to a file that is not there"),
        ({"compressed": "net.pt2"}, r"net\.pt2: is a TorchScript program"),
        (
            {"architecture": "", "factory": "own.py:net"},
            r"FACTORY=own\.py:net: a module is named without \.py; write own:net",
        ),
        ({"architecture": "", "factory": "own:nett"}, r"FACTORY: own\.py defines no nett, did you mean net\?"),
        (
            {"architecture": "", "factory": "own:net"},
            r"FACTORY: own\.py: net takes no image_size: add it, or \*\*others",
        ),
        ({"normalization": "hlaf"}, "NORMALIZATION=hlaf: 'hlaf' is unknown, did you mean half?"),
        ({"normalization": "imagenet"}, "NORMALIZATION=imagenet: has 3 channels, the images have 1"),
        ({"architecture": "{kind: cnn9}"}, "ARCHITECTURE=: kind: 'cnn9' is unknown, did you mean cnn"),
        ({"architecture": "{kind: cnn8, widht: 8}"}, "ARCHITECTURE=: widht: unknown, did you mean width?"),
        ({"architecture": "{width: 8}"}, "ARCHITECTURE=: kind: 'None' is unknown; allowed"),
        ({"count": 0}, "COUNT=0: is no number of images"),
        ({"size": -1}, "SIZE=-1: is no number of pixels"),
        ({"base": "net.onnx"}, r"BASE=.*net\.onnx: holds a network without gradients"),
        ({"base": "net.PT"}, r"BASE=.*net\.PT: is no model by its name, .* rename it"),
        (
            {"compressed": "net.ONNX"},
            r"COMPRESSED=.*net\.ONNX: is no model by its name, .*none of \.pt, .*\.onnx, \.tflite",
        ),
        ({"compressed": "net.h5"}, r"COMPRESSED=.*net\.h5: is no model by its name"),
        ({"compressed": "a\nb.onnx"}, r"COMPRESSED='.*a\\nb\.onnx': has a line break"),
        ({"images": "a\udcff"}, r"IMAGES='a\\udcff': has a line break or another letter that cannot be printed"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_told_before_anything_is_written(base, tmp_path, monkeypatch, said, told):
    files = {name: safetensors(base, tmp_path / f"{name}.safetensors") for name in ("base", "compressed")}
    for name in ("net.onnx", "net.ONNX", "net.PT", "net.h5"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link.pt").symlink_to("nowhere.pt")
    (tmp_path / "own.py").write_text("def net(in_channels, num_classes):\n    return 1\n")
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
    monkeypatch.chdir(tmp_path)
    given = {**files, "images": str(folder(tmp_path / "images")), "architecture": "{kind: cnn8, width: 8}"} | said
    given |= {name: str(tmp_path / given[name]) for name in ("base", "compressed")}
    words = [part for key, value in given.items() for part in (f"--{key}", str(value))]
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    with pytest.raises(SystemExit, match=told):
        check_command.main()
    assert not list(tmp_path.glob("*.check.*"))


def places(folder, base="base.pt", compressed="small.pt", images="images"):
    """Where the study, what is made on the way and the page of a call lie; no file is read."""
    written = {"BASE": f"{folder}/{base}", "COMPRESSED": f"{folder}/{compressed}", "IMAGES": f"{folder}/{images}"}
    return check_command.places(written)


def test_two_questions_never_share_a_file_and_one_question_always_does(tmp_path):
    """Files of one stem in one folder, files of one name in two, another base, other images."""
    calls = [
        places(tmp_path / "a"), places(tmp_path / "b"), places(tmp_path / "a", compressed="small.onnx"),
        places(tmp_path / "a", compressed="small.tflite"), places(tmp_path / "a", base="other.pt"),
        places(tmp_path / "a", images="others"),
    ]  # fmt: skip
    assert len({files for _, files in calls}) == len(calls)
    assert len({study for study, _ in calls[:4]}) == 4
    assert places(tmp_path / "a/../a")[1].name == places(tmp_path / "a")[1].name
    named = ("s.pt", "./s.pt", "a/../s.pt", "a/s.pt")
    written = [{"BASE": "x.pt", "COMPRESSED": name, "IMAGES": "y"} for name in named]
    assert len({question(one) for one in written}) == 2


def test_what_another_call_wrote_is_kept_and_told(tmp_path, capsys):
    study, page = tmp_path / "small.pt.check.yaml", tmp_path / "made.html"
    for number in range(3):
        check_command.save(study, f"study: {number}\n")
    check_command.save(study, "study: 2\n")
    kept = sorted(path.name for path in tmp_path.glob("*.yaml"))
    assert kept == ["small.pt.check.old1.yaml", "small.pt.check.old2.yaml", "small.pt.check.yaml"]
    assert [(tmp_path / name).read_text() for name in kept] == ["study: 0\n", "study: 1\n", "study: 2\n"]
    assert capsys.readouterr().out.count("was another study, which is now") == 2

    shown = tmp_path / "small.pt.check.html"
    for text in ("one", "one", "two", "three"):
        page.write_text(f"<h1>{text}</h1>")
        check_command.show(page, shown, check_command.set_aside(shown))
    pages = {path.name: path.read_text() for path in tmp_path.glob("small*.html")}
    assert pages == {
        "small.pt.check.html": "<h1>three</h1>",
        "small.pt.check.old1.html": "<h1>one</h1>",
        "small.pt.check.old2.html": "<h1>two</h1>",
    }
    told = capsys.readouterr().out
    assert told.count("was another page, which is now") == 2 and "The page: " in told
    page.write_text('<h1>one</h1><p class="doubt">In doubt: half &amp; none</p><p class="doubt">In doubt: it</p>')
    check_command.show(page, shown, None)
    assert capsys.readouterr().out.startswith("one\nIn doubt: half & none\nIn doubt: it\n")


def test_numbers_are_part_of_the_command_at_the_head_of_the_study(base, tmp_path):
    files = {name: safetensors(base, tmp_path / f"{name}.safetensors") for name in ("base", "compressed")}
    given = {**files, "images": str(folder(tmp_path / "images")), "architecture": "{kind: cnn8, width: 8}"}
    given |= {"size": 8, "channels": 1, "count": 40}
    found = understand(check_command.ask(SimpleNamespace(**{**dict.fromkeys(check_command.FURTHER), **given})))
    command = shlex.split(found.text.splitlines()[1])
    assert {"SIZE=8", "CHANNELS=1", "COUNT=40"} <= set(command)
    assert yaml.safe_load(found.text)["datasets"]["images"]["test"] == 40


def test_make_runs_the_command():
    command = ["make", "--dry-run", "check", "BASE=a b.pt", "CORES=3"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert "workflow_scripts/tools/check.py --cores 3" in done.stdout


def test_the_threads_of_a_shell_do_not_limit_the_cores_of_a_run():
    shell = {name: value for name, value in os.environ.items() if name not in ("CORES", "OMP_NUM_THREADS")}
    command = ["make", "--dry-run", "check"]
    plain, told = (
        subprocess.run(command, cwd=ROOT, env={**shell, **said}, text=True, capture_output=True).stdout
        for said in ({}, {"OMP_NUM_THREADS": "123"})
    )
    assert plain == told and "check.py --cores " in told


def test_arguments_are_those_of_make_and_no_variables_of_the_shell(tmp_path):
    """A shell may well have a variable KEY or SIZE."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    text = (
        (tmp_path / "Makefile").read_text().replace(".venv/bin/python workflow_scripts/tools/check.py", '"$(SHOW)" #')
    )
    (tmp_path / "Makefile").write_text(text.replace("check: $(READY)", "check:"))
    (tmp_path / "show").write_text("#!/bin/sh\nenv | grep -E '^(WRITTEN|ARCHITECTURE|KEY)='\n")
    (tmp_path / "show").chmod(0o755)
    command = ["make", "check", "BASE=a b.pt", "ARCHITECTURE={kind: cnn8, width: 8}", f"SHOW={tmp_path}/show"]
    # What was given to the make that runs the tests is not given to this one.
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=tmp_path, env={**shell, "KEY": "stray"}, text=True, capture_output=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert sorted(found["WRITTEN"].split()) == ["ARCHITECTURE", "BASE", "SHOW"]
    assert found["ARCHITECTURE"] == "{kind: cnn8, width: 8}"
    given = {**found, "KEY": "stray", "WRITTEN": "ARCHITECTURE CORES"}
    assert check_command.from_make(given) == {"architecture": "{kind: cnn8, width: 8}"}


@pytest.mark.parametrize(
    ("name", "told"),
    [("COMPRESED", "did you mean COMPRESSED="), ("base", "did you mean BASE="), ("X", "known are BASE=")],
)
def test_an_argument_that_nobody_knows_is_named(name, told):
    with pytest.raises(InputError, match=f"^{name}= is unknown; {told}"):
        check_command.from_make({"WRITTEN": f"BASE {name}", "BASE": "a", name: "b"})


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_a_file_with_several_networks_names_the_argument_that_chooses_one(base, tmp_path, name):
    torch.save({"left": base.state_dict(), "right": base.state_dict()}, tmp_path / "two.pt")
    option = {"base": " by KEY=", "compressed": " by COMPRESSED_KEY="}[name]
    with pytest.raises(InputError, match=f"name left or right,{option}$"):
        check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, None)
    assert check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, "left")


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_an_entry_that_is_taken_silently_is_told_with_the_argument_for_the_other(base, tmp_path, name, capsys):
    torch.save({"model": base.state_dict(), "ema": base.state_dict()}, tmp_path / "two.pt")
    option = {"base": "KEY=", "compressed": "COMPRESSED_KEY="}[name]
    check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, None)
    told = f"two.pt: took the entry model, not ema, which {option} would take\n"
    assert (printed := capsys.readouterr().out).endswith(told) and printed.startswith(f"{name.upper()}=")
    check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, "ema")
    assert capsys.readouterr().out == ""


def pair(folder, base, compressed, **changes):
    """The Asked of two state_dicts as files."""
    for name, state in (("base", base), ("compressed", compressed)):
        save_file(state, folder / f"{name}.safetensors")
    files = {name: str(folder / f"{name}.safetensors") for name in ("base", "compressed")}
    return Asked(**files, images="", study=folder, files=folder, **changes)


def test_a_compressed_file_of_the_weights_of_its_base_ends_the_check(tmp_path):
    own = {"w": torch.tensor([[1.0, float("nan")]]), "n": torch.tensor(3)}
    equal = pair(tmp_path, own, {name: tensor.clone() for name, tensor in own.items()})
    with pytest.raises(InputError, match=r"^COMPRESSED=.*: holds the weights of BASE=.*, bit for bit"):
        refuse_equal(equal)
    others = [
        {**own, "w": torch.tensor([[1.0, 0.0]])}, {**own, "w": own["w"].half()}, {**own, "w": own["w"].T.contiguous()},
        {"w": own["w"]}, {**own, "n": torch.tensor(3, dtype=torch.int32)},
    ]  # fmt: skip
    for other in others:
        refuse_equal(pair(tmp_path, own, other))
    # The same weights, used by another network or for other pixels.
    for changes in ({"compressed_architecture": {"kind": "cnn8"}}, {"options": {"normalization": "half"}}):
        refuse_equal(pair(tmp_path, own, own, **changes))
    (tmp_path / "small.onnx").write_bytes(b"")
    refuse_equal(replace(equal, compressed=str(tmp_path / "small.onnx")))


def test_equal_weights_are_told_by_the_command_before_it_writes_a_study(base, tmp_path, monkeypatch):
    states = {"model": base.state_dict(), "ema": base.state_dict()}
    torch.save(states, tmp_path / "two.pt")
    monkeypatch.chdir(tmp_path)
    words = ["--base", "two.pt", "--compressed", "two.pt", "--images", str(folder(tmp_path / "images"))]
    words += ["--architecture", "{kind: cnn8, width: 8}"]
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    with pytest.raises(SystemExit, match="are one file"):
        check_command.main()
    monkeypatch.setattr(sys, "argv", ["check.py", *words, "--compressed-key", "ema"])
    with pytest.raises(SystemExit, match=r"COMPRESSED=two\.pt: holds the weights of BASE=two\.pt, bit for bit"):
        check_command.main()
    assert not list(tmp_path.glob("*.check.*"))


def test_what_is_missing_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "workflow_scripts/tools/check.py"], cwd=tmp_path, text=True, capture_output=True
    )
    told = "check: BASE=, COMPRESSED=, IMAGES= missing; write make check BASE="
    assert done.returncode == 1 and done.stderr.startswith(told) and done.stderr.count("\n") == 1
