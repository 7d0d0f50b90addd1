"""What is known to make jobs fail, found before any of them runs: Snakemake removes a job's old outputs first.

A checked config says that a study can run somewhere; this says what keeps it from running here.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeezeproof.entries import registry
from squeezeproof.entries.compressions.external import TFLITE
from squeezeproof.entries.library import LibraryAttack
from squeezeproof.gpus import NO_GPU
from squeezeproof.study.efficiency import exports
from squeezeproof.study.external import is_given
from squeezeproof.study.factory_files import factory_problems
from squeezeproof.study.fits import misfits
from squeezeproof.study.model_files import unreadable
from squeezeproof.study.paths import Paths, prepared
from squeezeproof.study.published import own_name
from squeezeproof.study.surroundings import not_writable

if TYPE_CHECKING:
    from squeezeproof.study.entities import Dataset
    from squeezeproof.study.plan import Study

# What imports torch is a process of its own: nothing of CUDA may be set up where jobs are forked.
LIBRARY = str(Path(__file__).resolve().parents[2])
START = f"import sys; sys.path[:0] = [{LIBRARY!r}, '']; from squeezeproof."
SEES_GPU = f"{START}gpus import sees_gpu; sys.exit(not sees_gpu())"
# The working directory has the user's own networks.
LOOKS = f"{START}evaluation.support import look; look()"
SPLITS = ("train", "validation", "test")
# Instructions for bfloat16, of x86 and of ARM processors, as Linux calls them.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def problems(study: "Study", here: bool = True, stored_here: bool = True, looks: bool = True) -> list[str]:
    """What is wrong with the user's files and with this machine, one text each.

    Args:
        here: whether jobs run on this machine.
        stored_here: whether what they write stays on it.
        looks: whether to look for a GPU and into networks, which import torch in processes of their own.
    """
    found = [NO_GPU] if looks and here and study.compute["device"] == "cuda" and not sees_gpu() else []
    unfit, made = set(), _made(study)
    for name, settings in study.config["architectures"].items():
        told = _network(f"architectures.{name}", settings, here, made)
        unfit |= {name} if told else set()
        found += told
    found += _external(study, here, made)
    if stored_here:
        found += not_writable(_written(study))
    if here and stored_here:
        found += _datasets(study)
    found += _published(study)
    found += _libraries(study) if here else []
    if here and looks and not found:
        found += misfits(study, made)
    return found + (_layers(study, unfit) if here and looks else [])


def would_be_refused(found: list[str]) -> list[str]:
    """Some `problems` as a plan or a dry run tells them, which need nothing of what is not there."""
    return [f"A run here would end before its first job: {text}" for text in found]


def slow_trainings(study: "Study", processor: str = "/proc/cpuinfo") -> list[str]:
    """A text for each training in bfloat16 where jobs run on this machine and it would compute that in software.

    Args:
        processor: the file in which Linux tells what a processor can.
    """
    sections = {path: study.config[path] for path in ("trainings", "finetunings")}
    found = [
        f"{path}.{name}.precision"
        for path, entries in sections.items()
        for name, settings in entries.items()
        if settings["precision"] == "bfloat16"
    ]
    try:
        can = set(Path(processor).read_text().split())
    except OSError:
        return []
    if not found or can & BFLOAT16 or (study.compute["device"] != "cpu" and sees_gpu()):
        return []
    return [
        f"{path}: bfloat16: this processor has no instructions for it, training will take many times as long; write "
        "float32, or run where there is a GPU or a processor with avx512_bf16 or amx_bf16"
        for path in found
    ]


def _made(study: "Study") -> set[str]:
    """The files of models that jobs of the study write, which other models of it may come from."""
    paths = Paths(study.name)
    return {paths.model(*key) for key in study.models} | {paths.export(*file) for file in exports(study)}


def _network(path: str, settings: dict[str, Any], here: bool, made: set[str]) -> list[str]:
    """Why a network cannot be built, or its weights cannot be read, as far as can be told without building it."""
    files = {key: settings[key] for key in ("checkpoint", "pretrained") if settings.get(key) not in {None, *made}}
    found = [text for key, file in files.items() for text in unreadable(f"{path}.{key}", file)]
    if settings.get("factory"):
        found += factory_problems(f"{path}.factory", settings["factory"], settings["arguments"], here)
    package = registry.architectures()[settings["kind"]].package
    return found + (_missing(f"{path}.kind: {settings['kind']}", package) if here else [])


def _external(study: "Study", here: bool, made: set[str]) -> list[str]:
    """What is wrong with the files of models that were compressed elsewhere."""
    found = []
    for model in study.models.values():
        if is_given(study.compressions.get(model.compression)):
            path, settings = f"compressions.{model.compression}", study.compression_settings(model)
            file = study.file_of(model)
            found += [] if file in made else unreadable(f"{path}.file", file)
            if settings["architecture"]:
                found += _network(f"{path}.architecture", settings["architecture"], here, made)
            if here and settings["file"].endswith(TFLITE):
                found += _missing(f"{path}.file", "ai-edge-litert")
    return list(dict.fromkeys(found))


def _missing(path: str, requirement: str | None) -> list[str]:
    """What to install where a package is not; `requirement` is as pip takes it, None where none is needed."""
    name = re.split("[<>=]", requirement or "", maxsplit=1)[0]
    if not name or find_spec(name.replace("-", "_")):
        return []
    return [f"{path}: {name} is not installed; pip install '{requirement}'"]


def _written(study: "Study") -> list[str | Path]:
    """The folders that a run writes into; those of prepared data, which people share, only where they lack a split."""
    results = Paths(study.name).results
    missing = [path.parent for data in study.datasets.values() for path in _splits(data) if not path.exists()]
    return [results, *(place for place, *_ in os.walk(results)), *missing]


def _splits(dataset: "Dataset") -> list[Path]:
    return [Path(prepared(dataset.key(split), split)) for split in SPLITS]


def _datasets(study: "Study") -> list[str]:
    """Which raw images are not there, of data sets that are yet to be prepared."""
    found = []
    for name, dataset in study.datasets.items():
        if not all(path.is_file() for path in _splits(dataset)):
            settings = study.config["datasets"][name]
            told = registry.datasets()[settings["kind"]].missing(settings)
            found += [f"datasets.{name}.root: {told}"] if told else []
    return found


def _published(study: "Study") -> list[str]:
    """Whether published numbers cannot be read, or are of no model of the study, which their comparison would say after
    all other jobs."""
    settings = study.published
    if not settings:
        return []
    try:
        Path(settings["table"]).open("rb").close()
    except OSError as error:
        return [f"published.table: {settings['table']}: cannot be read ({error})"]
    made = {(model.dataset, model.architecture, model.training) for model in study.models.values()}
    with open(settings["table"], newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            axes = ("dataset", "architecture", "training")
            dataset, architecture, training = (own_name(settings, axis, row.get(axis) or "") for axis in axes)
            if (dataset, architecture, training.partition("/")[0]) in made:
                return []
    return [
        f"published.table: {settings['table']}: no row is of a data set, an architecture and a training of this study; "
        "write the study's names for the file's under published.datasets, published.architectures and "
        "published.trainings"
    ]


def _libraries(study: "Study") -> list[str]:
    """Which attacks are of a library that is not installed, or need a package beside it that is not."""
    found = []
    for name in dict.fromkeys(attack.entry for attack in study.attacks.values()):
        settings = study.config["attacks"][name]
        for entry, own in registry.used("attacks", settings):
            if not issubclass(entry, LibraryAttack):
                continue
            library = entry.library_of
            path = f"attacks.{name}.method: {entry.label()}"
            if find_spec(library.package.partition(".")[0]) is None:
                version = library.table()["version"]
                found.append(
                    f"{path}: {library.label()} is not installed; pip install {library.distribution}=={version}"
                )
            found += [
                f"{path}: needs {package}, which {library.label()} does not install; pip install {package}"
                for package in entry.further_packages(own)
                if find_spec(package) is None
            ]
    return found


def _layers(study: "Study", unfit: set[str]) -> list[str]:
    """Which layers that `features` names a network does not have; a training would be over before a job says so.

    Args:
        unfit: architectures of which it is known that they cannot be built.
    """
    asked = {}
    for dataset, name, entry in study.features:
        layers, model = study.config["features"][entry]["layers"], study.model(dataset, name)
        built = not model.is_ensemble and study.rule_of(model) != "import_model" and model.architecture not in unfit
        if layers != ["auto"] and built:
            asked.setdefault((entry, dataset, model.architecture), layers)
    networks = [
        {"settings": study.architecture_settings(architecture), "shape": _shape(study, dataset), "layers": layers}
        for (_, dataset, architecture), layers in asked.items()
    ]
    found = []
    told = _look(networks, study.config["allow_factories"])
    for (entry, dataset, architecture), (of_layers, problem) in zip(asked, told, strict=True):
        path = f"architectures.{architecture}"
        if problem and of_layers:
            found.append(f"features.{entry}.layers: of {path}: {problem}")
        elif problem and _kind(study, dataset).classes():
            # With a number of classes that is not theirs, a network may fail that is sound.
            found.append(f"{path}: {problem}")
    return list(dict.fromkeys(found))


def _look(networks: list[dict[str, Any]], allowed: list[str]) -> list[tuple[bool, str]]:
    """For each network (whether that is about its layers, what is wrong), "" where nothing is.

    Whatever the user's own code does to the process that looks, another one goes on with the networks that follow.
    """
    told: list[tuple[bool, str]] = []
    command = [sys.executable, "-c", LOOKS]
    while len(told) < len(networks):
        given = json.dumps({"networks": networks[len(told) :], "allowed": allowed})
        done = subprocess.run(command, input=given, capture_output=True, text=True, errors="replace")
        # What comes after the last end of a line is no whole answer.
        told += [tuple(json.loads(line)) for line in done.stdout.split("\n")[:-1]]
        if len(told) < len(networks):
            by = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit status {done.returncode}"
            said = [line for line in done.stderr.splitlines() if line.strip()][-1:]
            told.append((False, f"a process that builds it ends ({', '.join([by, *said])}); mend its code"))
    return told


def _kind(study: "Study", dataset: str) -> Any:
    """The checked settings of a data set."""
    settings = study.config["datasets"][dataset]
    return registry.datasets()[settings["kind"]].model_validate(settings)


def _shape(study: "Study", dataset: str) -> list[int]:
    """[channels, side, classes] of a data set; any number of classes where only its files tell."""
    known = _kind(study, dataset)
    return [known.channels_of_images(), known.side(), known.classes() or 10]


@cache
def sees_gpu() -> bool:
    """Whether a job on this machine would find a GPU."""
    return subprocess.run([sys.executable, "-c", SEES_GPU], capture_output=True).returncode == 0
