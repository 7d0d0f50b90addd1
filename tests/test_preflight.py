"""What is known to fail ends a run before its first job, so that nothing that was finished is removed."""

import copy

import numpy as np
import onnx
import pytest
import show_plan
from conftest import TINY, Workspace
from safetensors.numpy import save_file

from squeezeproof.study import preflight
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.paths import prepared
from squeezeproof.study.plan import Study


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def frames_alone(monkeypatch):
    """Most files here are no models; tests/test_takes.py looks into some that are."""
    monkeypatch.setattr(preflight, "misfits", lambda study, unread: [])


def study(**changes):
    return Study(copy.deepcopy(TINY) | changes)


def with_weights(content):
    return study(architectures={"cnn8": {"width": 8, "checkpoint": content}})


def test_a_sound_study_has_no_problem(place):
    save_file({"a": np.zeros(3, np.float32)}, "w.safetensors")
    assert preflight.problems(with_weights("w.safetensors")) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 a pickle of torch" * 9, "is no safetensors file"),
        (b"\x02\0\0\0\0\0\0\0[]", "is no safetensors file"),
        (b"\x03\0\0\0\0\0\0\0{x}", "cannot be read"),
        (None, "is truncated"),
    ],
)
def test_weights_that_no_job_could_load_are_named(place, content, told):
    save_file({"a": np.zeros(30, np.float32)}, "w.safetensors")
    whole = (place / "w.safetensors").read_bytes()
    (place / "w.safetensors").write_bytes(whole[:-1] if content is None else content)
    [problem] = preflight.problems(with_weights("w.safetensors"))
    assert problem.startswith("architectures.cnn8.checkpoint: w.safetensors: ") and told in problem


@pytest.mark.parametrize("name", ["weights", "w.weights", "w.SAFETENSORS"])
def test_weights_are_read_whatever_their_file_is_called(place, name):
    save_file({"a": np.zeros(3, np.float32)}, name)
    assert preflight.problems(with_weights(name)) == []
    (place / name).write_bytes(b"PK\x03\x04 a pickle of torch" * 9)
    [problem] = preflight.problems(with_weights(name))
    assert "is no safetensors file" in problem


def test_weights_that_are_not_there_are_named(place):
    [problem] = preflight.problems(with_weights("w.safetensors"))
    assert "w.safetensors: cannot be read" in problem and "No such file" in problem


def onnx_file():
    """A network of one operator, in the bytes that onnx writes."""
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    return onnx.helper.make_model(graph).SerializeToString()


WHOLE = {".onnx": onnx_file(), ".tflite": (20).to_bytes(4, "little") + b"TFL3" + bytes(20), ".safetensors": None}
PLACES = {
    "compressions.mine.file": lambda file: {
        "compressions": {"mine": {"method": "external", "file": file, "of": "cnn8.*"}},
        "finetunings": {},
        "variants": [{"compressions": ["mine"], "finetunings": ["none"]}],
    },
    "architectures.own.pretrained": lambda file: {
        "architectures": {"own": {"kind": "torchvision", "name": "mobilenet_v3_small", "pretrained": file}},
    },
    "architectures.own.checkpoint": lambda file: {
        "architectures": {"own": {"kind": "torchvision", "name": "mobilenet_v3_small", "checkpoint": file}},
    },
}  # fmt: skip


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("ending", WHOLE)
def test_files_of_models_that_no_job_could_read_are_named(place, key, ending):
    if ending != ".safetensors" and not key.endswith(".file"):
        pytest.skip("weights alone are asked for")
    file = place / f"model{ending}"
    save_file({"a": np.zeros(30, np.float32)}, file)
    whole = WHOLE[ending] or file.read_bytes()
    file.write_bytes(whole)
    plan = study(**PLACES[key](file.name))
    assert preflight.problems(plan) == []
    for bad in (b"", b"\0" * 3000, np.random.default_rng(0).bytes(3000), b"<html>no</html>", whole[:7], whole[:-9]):
        file.write_bytes(bad)
        # Of a TFLite file the frame does not tell where it ends.
        if ending != ".tflite" or bad != whole[:-9]:
            [problem] = preflight.problems(plan)
            assert problem.startswith(f"{key}: {file.name}: "), bad
    file.unlink()
    [problem] = preflight.problems(plan)
    assert "cannot be read" in problem and "No such file" in problem


def test_packages_that_networks_and_files_need_are_named_where_jobs_run_here(place, monkeypatch):
    (place / "model.tflite").write_bytes(WHOLE[".tflite"])
    plan = study(
        architectures={"cnn8": {"width": 8}, "lc": {"kind": "timm", "name": "lcnet_050"}},
        **PLACES["compressions.mine.file"]("model.tflite"),
    )
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    assert preflight.problems(plan) == [
        "architectures.lc.kind: timm: timm is not installed; pip install 'timm>=1.0.31,<2'",
        "compressions.mine.file: ai-edge-litert is not installed; pip install 'ai-edge-litert'",
    ]
    assert preflight.problems(plan, here=False) == []


def test_a_factory_of_a_package_that_is_not_installed_is_named(place):
    plan = study(architectures={"own": {"kind": "custom", "factory": "gone.nets:net"}}, allow_factories=["gone"])
    assert preflight.problems(plan) == [
        "architectures.own.factory: there is no module gone, neither here nor installed"
    ]


def test_raw_images_that_are_not_there_are_named_until_they_are_prepared(place):
    folder = {"kind": "image_folder", "root": "images", "size": 28}
    plan = study(datasets={"mine": folder, "theirs": {"kind": "mnist", "root": "raw", "download": False}})
    told = [
        "datasets.mine.root: images/train: there is no such folder; images belong in images/train/CLASS/NAME.png",
        "datasets.theirs.root: raw: there is no such folder; put the files there, or write download: true",
    ]
    assert preflight.problems(plan) == told
    assert preflight.problems(plan, here=False) == preflight.problems(plan, stored_here=False) == []
    for split in preflight.SPLITS:
        path = place / prepared(plan.datasets["mine"].key(split), split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert preflight.problems(plan) == told[1:]
    (place / "raw").mkdir()
    assert preflight.problems(plan) == []


def network(*lines, head="from torch import nn"):
    """The text of a module whose `make` runs some lines before it returns a network."""
    body = [
        *lines,
        "layers = nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Flatten()",
        "return nn.Sequential(*layers, nn.Linear(4 * (image_size - 2) ** 2, num_classes))",
    ]
    return "\n".join([head, "def make(*, in_channels, num_classes, image_size):", *(f"    {line}" for line in body)])


def asked(networks, datasets=TINY["datasets"], **layers):
    """Problems of a study whose features name layers of cnn8 and of networks in modules of their names."""
    looks = {name: {"class": "3", "attack": "fgsm-eps0.1", "layers": named} for name, named in layers.items()}
    architectures = {name: {"kind": "custom", "factory": f"{name}:make"} for name in networks}
    architectures = {"cnn8": {"width": 8}, **architectures}
    changes = {"features": looks, "architectures": architectures, "compressions": {}, "finetunings": {}}
    return preflight.problems(study(**changes, datasets=datasets))


def test_layers_that_a_network_does_not_have_are_named(place):
    printing = "from torch import nn\nimport atexit\nprint('hello')\natexit.register(print, 'bye')"
    (place / "mine.py").write_text(network(head=printing))
    assert asked(["mine"], one="auto") == []
    told = asked(["mine"], one=["network.conv1"], two=["network.0"])
    assert len(told) == 2
    assert told[0].startswith("features.one.layers: of architectures.mine: the model has no layer 'network.conv1'; the")
    assert told[1].startswith(
        "features.two.layers: of architectures.cnn8: the model has no layer 'network.0'; the near"
    )


CRASHES = {
    "raises": (network("raise KeyError('width')"), "factory raises:make: KeyError: 'width'"),
    "leaves": (network(head="from torch import nn\nraise SystemExit(3)"), "factory leaves:make: SystemExit: 3"),
    "ends": (
        network("import os, sys", "print('no licence', file=sys.stderr, flush=True)", "os._exit(3)"),
        "a process that builds it ends (exit status 3, no licence); mend its code",
    ),
    "killed": (
        network("import os", "os.kill(os.getpid(), 9)"),
        "a process that builds it ends (SIGKILL); mend its code",
    ),
    "defines": ("def other(): pass\n", None),
}


def test_a_network_whose_code_crashes_is_told_and_hides_nothing_of_the_others(place):
    for name, (text, _) in CRASHES.items():
        (place / f"{name}.py").write_text(text)
    found = asked(CRASHES, one=["network.conv9"])
    told = [f"architectures.{name}: {problem}" for name, (_, problem) in CRASHES.items() if problem]
    # Once what its text tells, and no more.
    assert found[0].startswith("architectures.defines.factory: defines.py defines no make")
    assert found[1].startswith("features.one.layers: of architectures.cnn8: the model has no layer 'network.conv9'")
    assert found[2:] == told


def test_a_network_is_not_blamed_for_classes_that_only_images_tell(place):
    (place / "three.py").write_text(network("assert num_classes == 3"))
    folders = {"mine": {"kind": "image_folder", "root": "images", "size": 28}}
    told = asked(["three"], folders, one=["network.conv9"])
    assert [problem.partition(":")[0] for problem in told] == ["datasets.mine.root", "features.one.layers"]


NAMES = {"datasets": {"cifar10": "digits"}, "architectures": {"net": "cnn8"}, "trainings": {"usual": "standard"}}


@pytest.mark.parametrize("left_out", [None, *NAMES])
def test_published_numbers_of_no_model_of_the_study_are_told_before_anything_runs(place, left_out):
    names = {section: pairs for section, pairs in NAMES.items() if section != left_out}
    (place / "theirs.csv").write_text("dataset,architecture,training\nmnist,other,usual\ncifar10,net,usual\n")
    found = preflight.problems(study(published={"table": "theirs.csv", **names}))
    assert len(found) == (left_out is not None)
    assert all("theirs.csv: no row is of a data set, an architecture and a training" in text for text in found)


def test_a_table_of_published_numbers_that_is_not_there_is_told(place):
    (place / "folder").mkdir()
    for table, why in (("none.csv", "No such file"), ("folder", "Is a directory")):
        (told,) = preflight.problems(study(published={"table": table}))
        assert told.startswith(f"published.table: {table}: cannot be read (") and why in told


def test_snakemake_names_the_key_of_a_file_that_is_not_there(tmp_path):
    architectures = {"cnn8": {"width": 8, "checkpoint": "own.safetensors"}}
    config = {**TINY, "published": {"table": "none.csv"}, "architectures": architectures}
    told = Workspace.create(tmp_path / "study", config).run("-n", ok=False)
    for text in ("published.table: none.csv", "architectures.cnn8.checkpoint: own.safetensors"):
        assert f"{text}: cannot be read ([Errno 2]" in told
    assert "The study config has 2 problems; nothing was run" in told and "MissingInput" not in told


def test_a_library_of_attacks_that_is_not_installed_is_named(monkeypatch):
    attacks = {"ddn": {"method": "adv_lib.ddn"}, "two": {"method": "suite", "norm": "l2", "eps": 0.1}}
    attacks["two"]["stages"] = ["pgd", "adv_lib.fmn"]
    plan = study(attacks=attacks)
    assert preflight.problems(plan) == []
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == "adv_lib" else name)
    assert preflight.problems(plan) == [
        f"attacks.{name}.method: adv_lib.{attack}: adv_lib is not installed; pip install adv-lib==0.2.8"
        for name, attack in (("ddn", "ddn"), ("two", "fmn"))
    ]
    assert preflight.problems(plan, here=False) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def net(**given):\n    return 1\n", None),
        ("from somewhere import net\n", None),
        ("from somewhere import *\n", None),
        ("net = print\n", None),
        ("def nett(**given):\n    return 1\n", "mine.py defines no net, did you mean nett?"),
        ("def net(in_channels, num_classes, image_size):\n    return 1\n", None),
        ("def net(*, num_classes, image_size, in_channels=3, depth=2):\n    return 1\n", None),
        ("class net:\n    def __init__(self, in_channels, num_classes, image_size):\n        pass\n", None),
        ("class net:\n    def __init__(self, width):\n        pass\n", "net takes no in_channels and no num_classes"),
        ("class net(dict):\n    pass\n", None),
        ("import functools\n@functools.cache\ndef net():\n    return 1\n", None),
        (
            "def net():\n    return 1\n",
            "net takes no in_channels and no num_classes and no image_size: add them, or **",
        ),
        ("def net(in_channels, num_classes, **others):\n    return 1\n", None),
        ("def net(in_channels, num_classes):\n    return 1\n", "net takes no image_size: add it, or **others"),
        ("def net(width, **others):\n    return 1\n", "net needs width, which `arguments` would have to give"),
        ("def net(*, width, **others):\n    return 1\n", "net needs width, which `arguments` would have to give"),
        ("def net(in_channels, /, num_classes, image_size):\n    return 1\n", "net takes no in_channels"),
        ("if True:\n    def net():\n        return 1\n", None),
        ("def net():\n    return 1\nnet = print\n", None),
        ("def net(:\n", "mine.py, line 1: "),
    ],
)
def test_a_factory_that_its_module_does_not_define_is_named(place, text, told):
    (place / "mine.py").write_text(text)
    found = preflight.problems(study(architectures={"own": {"kind": "custom", "factory": "mine:net"}}))
    assert found == [] if told is None else told in found[0]


def test_arguments_of_a_factory_are_among_those_that_it_takes(place):
    (place / "mine.py").write_text("def net(in_channels, num_classes, image_size, *, width):\n    return 1\n")
    own = {"kind": "custom", "factory": "mine:net"}
    assert preflight.problems(study(architectures={"own": {**own, "arguments": {"width": 8}}})) == []
    [told] = preflight.problems(study(architectures={"own": {**own, "arguments": {"widht": 8}}}))
    assert told == (
        "architectures.own.factory: mine.py: net takes no widht: add it, or **others; needs width, which `arguments` "
        "would have to give; it is called as net(in_channels=, num_classes=, image_size=, widht=)"
    )


def test_a_module_that_is_named_as_a_file_is_told_how_it_is_named(place):
    (place / "yours.py").write_text("def net(**given):\n    return 1\n")
    for name in ("yours.py:net", "nowhere.py:net"):
        told = f"factory: {name}: a module is named without .py; write {name.replace('.py', '')}"
        with pytest.raises(ConfigError, match=told):
            study(architectures={"own": {"kind": "custom", "factory": name}})
    with pytest.raises(ConfigError, match=r"such as nets\.small:make for make of nets/small\.py"):
        study(architectures={"own": {"kind": "custom", "factory": "nets/mine.py:net"}})


def test_a_dry_run_and_the_plan_tell_what_would_end_a_run(fresh, monkeypatch, capsys):
    """The data may lie elsewhere, or not be there yet: both go on, and say it."""
    fresh.config["architectures"] = {"own": {"kind": "custom", "factory": "mine:make"}}
    fresh.config["datasets"] = {"mine": {"kind": "image_folder", "root": "my/images", "size": 8, "channels": 1}}
    fresh.config["datasets"]["mine"] |= {"train": 40, "test": 20}
    (fresh.path / "mine.py").write_text("def net():\n    return 1\n")
    output = fresh.run("-n")
    beginning = "A run here would end before its first job: "
    for told in (
        "architectures.own.factory: mine.py defines no make",
        "datasets.mine.root: my/images/train: there is no",
    ):
        assert beginning + told in output, output
    assert "train" in output.partition("Job stats")[2]
    monkeypatch.chdir(fresh.path)
    show_plan.main(["config.yaml"])
    assert capsys.readouterr().err.count(beginning) == 2
    fresh.run("--lint")


def test_a_gpu_is_looked_for_where_jobs_run_here(monkeypatch):
    monkeypatch.setattr(preflight, "sees_gpu", lambda: False)
    asking = study(compute={"device": "cuda"})
    assert preflight.problems(asking) == [preflight.NO_GPU]
    assert preflight.problems(asking, here=False) == []
    assert preflight.problems(study()) == []


@pytest.mark.parametrize(
    ("flags", "compute", "gpu", "told"),
    [
        ("fpu avx2", {"device": "cpu"}, True, ["finetunings.standard.precision", "trainings.standard.precision"]),
        ("fpu avx2", {"device": "auto"}, False, ["finetunings.standard.precision", "trainings.standard.precision"]),
        ("fpu avx2", {"device": "auto"}, True, []),
        ("fpu avx2 avx512_bf16", {"device": "cpu"}, False, []),
        ("fp asimd bf16", {"device": "cpu"}, False, []),
        (None, {"device": "cpu"}, False, []),
    ],
)
def test_bfloat16_that_the_processor_does_not_have_is_told(place, monkeypatch, flags, compute, gpu, told):
    monkeypatch.setattr(preflight, "sees_gpu", lambda: gpu)
    if flags is not None:
        (place / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    half = {"standard": {"epochs": 1, "precision": "bfloat16"}}
    asking = study(compute=compute, trainings=half, finetunings=half)
    found = preflight.slow_trainings(asking, str(place / "cpuinfo"))
    assert sorted(text.partition(":")[0] for text in found) == told
    assert preflight.slow_trainings(study(compute=compute), str(place / "cpuinfo")) == []


@pytest.mark.slow
def test_a_device_that_is_not_there_costs_no_finished_model(study_of_files):
    workspace = study_of_files
    models = {path: path.read_bytes() for path in workspace.results.glob("models/**/*.safetensors")}
    workspace.config["compute"] = {"device": "cuda"}
    output = workspace.run(ok=False)
    assert preflight.NO_GPU in output and "Traceback" not in output
    assert models and {path: path.read_bytes() for path in models} == models


@pytest.fixture
def study_of_files(finished, tmp_path, monkeypatch):
    # Whatever machine the tests run on.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return finished.clone(tmp_path / "study")
