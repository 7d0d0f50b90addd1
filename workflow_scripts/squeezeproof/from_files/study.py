"""Two files and a folder of images -> the text of a study that asks whether one model may replace the other."""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from squeezeproof.datasets.prepare import stratified
from squeezeproof.entries import registry
from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.entries.compression import NONE
from squeezeproof.entries.settings import read_number
from squeezeproof.errors import InputError
from squeezeproof.from_files.images import Images, read_images
from squeezeproof.from_files.networks import Network, find_network
from squeezeproof.from_files.pairs import find_pair, refuse_misread
from squeezeproof.from_files.readings import in_numbers
from squeezeproof.gpus import sees_gpu
from squeezeproof.store.converted import notes_in
from squeezeproof.study.paths import Paths
from squeezeproof.study.quick import batch_size, budgets, in_minutes, radii

if TYPE_CHECKING:
    from torch import Tensor

# Images that the base is tried on before anything is attacked.
TRIED = 200
# Columns of a sentence in the study.
WIDTH = 110
# Of the test split, as attacks take minutes on so many.
MOST = 500


@dataclass(frozen=True)
class Asked:
    """What a person asks.

    Attributes:
        base: path of its weights (safetensors).
        compressed: path of any file that `external` takes.
        images: a folder of images.
        study: where the study will lie.
        files: a folder for what is made on the way.
        architecture, compressed_architecture: entries of `architectures`; None for what the files say.
        normalization, side, channels, eps, count: None for what the files and images say, or what is usual.
        options: further settings of the compressed model, as `external` has them.
        written: what the person wrote, name -> text.
    """

    base: str
    compressed: str
    images: str
    study: Path
    files: Path
    architecture: dict[str, Any] | None = None
    compressed_architecture: dict[str, Any] | None = None
    normalization: str | None = None
    side: int | None = None
    channels: int | None = None
    eps: list[str] | None = None
    count: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Understood:
    """The text of the study, what was understood in five lines, and the page that answers."""

    text: str
    lines: list[str]
    page: Path


def question(written: Mapping[str, str]) -> str:
    """A short digest of the two models and the images that are asked about: files of one name in different folders are
    different questions, each with its own results.

    Args:
        written: what the person wrote, with `BASE`, `COMPRESSED` and `IMAGES`.
    """
    places = [str(Path(written.get(name, "")).resolve()) for name in ("BASE", "COMPRESSED", "IMAGES")]
    return hashlib.sha256("\0".join(places).encode()).hexdigest()[:6]


def understand(asked: Asked) -> Understood:
    """The Understood of an Asked; InputError where the files do not say enough, or not what can be meant."""
    images = read_images(asked.images, asked.files / "images", asked.side, asked.channels)
    pixels, labels = _some(images)
    network = _network(asked, images, pixels, labels)
    external = in_numbers({"method": "external", "file": asked.compressed, **asked.options})
    if asked.compressed_architecture:
        external["architecture"] = in_numbers(asked.compressed_architecture)
    found = find_pair(external, network, pixels, labels, images.classes)
    refuse_misread(found, pixels, labels, images.classes)
    network, external = found.base, found.settings
    eps = _radii(asked.eps or budgets(images.channels, images.side))
    base, compressed = (Path(asked.written[name]) for name in ("BASE", "COMPRESSED"))
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", compressed.stem).strip("_")[:20]
    # An entry's name begins with a letter, and is not the one that means nothing.
    entry = stem if stem[:1].isalpha() and stem != NONE else f"m{stem}"
    name, count = f"check-{entry}-{question(asked.written)}", min(images.count, asked.count or MOST)
    follows = registry.compressions()["external"].gives_gradients(external)
    methods = in_minutes(follows)
    tried = [method for method, settings in methods.items() if "stop_on_success" not in settings]
    config = {
        "study": name,
        "question": f"May {compressed.name} replace {base.name}?",
        **({"doubts": doubts} if (doubts := [*_entries_taken(asked), *found.doubts]) else {}),
        "datasets": {"images": {"kind": "image_folder", "root": str(images.root), "size": images.side,
                                "channels": images.channels, "test": count}},
        "architectures": {"base": {**network.settings, "checkpoint": asked.base}},
        "trainings": {"given": {"epochs": 0}},
        "compressions": {entry: external},
        "attacks": {method: {**settings, "eps": radii(method, eps)} for method, settings in methods.items()},
        "evaluations": {
            "itself": {"sources": "*", "where": ["white-box"]},
            "other": {"sources": "*", "where": ["transfer"], "attacks": [f"{method}-eps*" for method in tried]},
        },
    }  # fmt: skip
    if not sees_gpu():
        config["compute"] = {"batch_size": batch_size(images.side)}
    attacked = "each model" if follows else "each model, those with gradients on the base alone"
    named, alone = (
        ", ".join(_attack(method, methods[method], eps) for method in part)
        for part in (tried, [method for method in methods if method not in tried])
    )
    lines = [
        f"Base: {base}, {network.note}",
        f"Compressed: {compressed}, {found.note}",
        f"Images: {images.note}" + (f"; {count} are attacked" if count < images.count else ""),
        f"Threat: changes of every pixel by at most {' and '.join(map(str, eps))} (Linf)",
        f"Attacks on {attacked}: {named}, tried on both models, and {alone}, which end where they succeed",
    ]
    page = Paths(name).replacement("images", f"base.given.{entry}.none.s0")
    return Understood(_text(config, asked, page), lines, Path(page))


def _entries_taken(asked: Asked) -> list[str]:
    """What was taken of files that hold several networks, where nothing says which is meant."""
    files = {"BASE": (asked.base, "KEY="), "COMPRESSED": (asked.compressed, "COMPRESSED_KEY=")}
    return [
        f"{name}={asked.written[name]}: {note}"
        for name, (path, option) in files.items()
        for note in (notes_in(path) if path.endswith(WEIGHTS) else ())
        if f" {option}" in note
    ]


def _network(asked: Asked, images: Images, pixels: "Tensor", labels: "Tensor") -> Network:
    """The base; InputError where it knows its classes in the order of the numbers that are their names."""

    architecture = asked.architecture and in_numbers(asked.architecture)

    def found(labels: "Tensor") -> Network | InputError:
        try:
            return find_network(asked.base, pixels, labels, images.classes, architecture, asked.normalization)
        except InputError as error:
            return error

    by_name = found(labels)
    if images.by_number:
        by_number = found(labels.new_tensor(images.by_number)[labels])
        named, numbered = (0.0 if isinstance(one, InputError) else one.accuracy for one in (by_name, by_number))
        if numbered > named:
            shown = f"labels {named:.1%} of the images right so" if named else "knows nothing so"
            raise InputError(
                f"IMAGES={asked.images}: the classes are taken in the order of their names, in which 10 comes before "
                f"2; the base {shown}, and labels {numbered:.1%} right in the order of their numbers; rename the "
                f"folders, 2 to 02 and so on"
            )
    if isinstance(by_name, InputError):
        raise by_name
    return by_name


def _some(images: Images) -> "tuple[Tensor, Tensor]":
    """At most TRIED of the test images, the same share of every class: uint8 [N, C, H, W] and int64 [N], tensors."""
    import torch

    entry = registry.datasets()["image_folder"]
    settings = {**entry.defaults(), "kind": "image_folder", "root": str(images.root), "size": images.side}
    _, (rows, labels), _ = entry.imported()({**settings, "channels": images.channels})
    if len(labels) < images.classes:
        raise InputError(f"IMAGES={images.root}: {len(labels)} images of {images.classes} classes; give some of each")
    chosen = stratified(labels, min(TRIED, len(labels)))
    return torch.from_numpy(rows[chosen]), torch.from_numpy(labels[chosen])


def _radii(written: Sequence[str]) -> list[str | float]:
    """The radii of EPS= as a config has them, where 8/255 is a text; InputError where one is none, or comes twice."""
    shown, numbers = f"EPS={','.join(written)}", [read_number(radius) for radius in written]
    for radius, number in zip(written, numbers, strict=True):
        if not isinstance(number, float) or not 0 < number <= 1:
            raise InputError(f"{shown}: {radius!r} is no radius in (0, 1]; write EPS=8/255 or EPS=2/255,8/255")
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{shown}: the same radius stands there twice")
    return [radius if "/" in radius else float(number) for radius, number in zip(written, numbers, strict=True)]


def _attack(method: str, settings: Mapping[str, Any], eps: list[str | float]) -> str:
    """An attack with its length, and its budgets where these are not all of `eps`."""
    entry, own = registry.attacks()[method], radii(method, eps)
    length = [f"{settings[unit]} {unit}" for unit in entry.units if unit in settings]
    few = [f"(at {' and '.join(map(str, own))} alone)"] if len(own) < len(eps) else []
    return " ".join([entry.display or method, *length, *few])


def _text(config: Mapping[str, Any], asked: Asked, page: str) -> str:
    """The study as YAML that a person reads and edits."""
    told = {
        "doubts": "# What the files and the images leave open; leave a line out once it is settled.",
        "datasets": "# `root` holds train/ and test/; nothing is trained, and of train/ nothing is attacked.",
        "architectures": "# The base as it is: weights, network and what its pixels are made of.",
        "compressions": "# The compressed model.",
        "attacks": "# On each of the two models. More steps and queries find more: docs/choose_an_attack.md.",
        "compute": "# What the caches of a CPU hold; a GPU takes more, left out.",
        "evaluations": "# Each on its own images, and on the other's, but of attacks that end where they succeed.",
    }
    command = [f"# make check {' '.join(f'{name}={shlex.quote(value)}' for name, value in asked.written.items())}"]
    lines = ["# Written by", *command, "# Edit it, and run it again:"]
    lines.append(f"# snakemake --cores 2 --configfile {shlex.quote(str(asked.study))} {page}")
    for key, value in config.items():
        if key in told:
            lines.append(told[key])
        if isinstance(value, dict):
            # Names such as no and null are other things without quotes.
            lines += [f"{key}:", *(f"  {_flow(name)}: {_flow(entry)}" for name, entry in value.items())]
        elif isinstance(value, list):
            lines += [f"{key}:", *yaml.safe_dump(value, width=WIDTH).splitlines()]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """A value of YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).removesuffix("...\n").strip()
