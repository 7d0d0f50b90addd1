"""What tests/fuzz.py runs: for each target, how inputs are drawn and what reads them."""

import copy
import hashlib
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from show_plan import configured

from squeezeproof.audit.findings import read_findings
from squeezeproof.datasets.image_folder import load_image_folder
from squeezeproof.errors import InputError
from squeezeproof.models.build import build, specification
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.csvs import digest_of, writing_csv
from squeezeproof.store.datasets import open_set, read_split
from squeezeproof.store.predictions import read_predictions
from squeezeproof.store.tensors import fingerprint, read_arrays, read_metadata, write_tensors
from squeezeproof.study.plan import Study

ROOT = Path(__file__).resolve().parents[1]

HOSTILE = [
    "..", "../../etc/passwd", "/etc/passwd", "~root", "a b", "a'b", 'a"b', "$(id)", "`id`", "a;id", "a|b", "a&b", "-rf",
    "--help", "a\nb", "a\0b", "{wildcards}", "{input}", "*", "?", "[a-z]", "<script>", "ünï", "\u202e", "a" * 300, "",
    " ", ".", "none", "base", "null", "1e999", "nan", "-0", "0x10", "8/0", "1/255", "os:system", "subprocess:run",
    "builtins:eval", "torch.hub:load", "a" * 20_000,
]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(HOSTILE),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**400, 0.5, 1e-300, 1e300, "8/255"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(HOSTILE), inner, max_size=4)
    ),
    max_leaves=8,
)


# --- Configs


def configs():
    found = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
    return [config for config in map(configured, found) if len(json.dumps(config)) < 4000]


def places(value, path=()):
    """The path of every value in nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, item in items for place in places(item, (*path, key))]


class Config:
    """Sound studies with a few values, keys or names replaced, removed, added or moved."""

    def __init__(self, folder):
        self.configs = configs()
        self.donors = [(config, place) for config in self.configs for place in places(config)]

    def draw(self):
        return st.tuples(st.integers(0, len(self.configs) - 1), st.lists(self.change(), min_size=1, max_size=4))

    def change(self):
        kind = st.sampled_from(["replace", "remove", "add", "rename", "graft"])
        return st.tuples(kind, st.integers(0, 10_000), VALUES, st.sampled_from(HOSTILE) | st.text(max_size=10))

    def run(self, drawn):
        index, changes = drawn
        config = copy.deepcopy(self.configs[index])
        for kind, number, value, name in changes:
            self.apply(config, kind, number, value, name)
        Study(config)

    def apply(self, config, kind, number, value, name):
        if not (found := places(config)):
            return
        *parents, last = found[number % len(found)]
        holder = config
        for parent in parents:
            holder = holder[parent]
        if kind == "replace":
            holder[last] = value
        elif kind == "remove":
            del holder[last]
        elif kind == "add" and isinstance(holder, dict):
            holder[name] = value
        elif kind == "rename" and isinstance(holder, dict):
            holder[name] = holder.pop(last)
        elif kind == "graft":
            donor, place = self.donors[number % len(self.donors)]
            for key in place:
                donor = donor[key]
            holder[last] = copy.deepcopy(donor)


# --- Bytes


def mutated(content, rng):
    """A copy of some bytes after one to eight changes, the header of a safetensors file favoured."""
    content = bytearray(content)
    front = min(len(content), 8 + int.from_bytes(content[:8], "little") if content[3:8] == bytes(5) else 400)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 8])):
        end = rng.choice([front, len(content)])
        at = rng.randrange(max(1, end))
        match rng.randrange(8):
            case 0 | 1 if content:
                content[at % len(content)] ^= 1 << rng.randrange(8)
            case 2 if content:
                content[at % len(content)] = rng.randrange(256)
            case 3:
                del content[at : at + rng.choice([1, 2, 8, 100])]
            case 4:
                content[at:at] = rng.choice([b"\0", b"\xff" * 8, b'"', b"{", b"[" * 50, b"9" * 30, rng.randbytes(8)])
            case 5:
                del content[at:]
            case 6:
                content[:8] = rng.choice([0, 1, 2**20, 2**31, 2**63, 2**64 - 1, len(content)]).to_bytes(8, "little")
            case 7:
                length = rng.randrange(1, 20)
                source = rng.randrange(max(1, len(content)))
                content[at : at + length] = content[source : source + length]
    return bytes(content)


class Bytes:
    """Sound files with bytes changed, read by the reader of their kind."""

    def __init__(self, folder):
        self.path = folder / "input"
        self.samples = []

    def draw(self):
        return st.integers(0, 2**63)

    def run(self, drawn):
        rng = random.Random(drawn)
        content, read = rng.choice(self.samples)
        self.path.write_bytes(mutated(content, rng))
        read(self.path)


SPLIT = {"fingerprint": "0" * 64, "classes": ["cat", "dog"], "shape": [3, 4, 4]}


def read_whole_set(path):
    adversarial, _ = open_set(path, SPLIT)
    return adversarial[:]


class TensorFiles(Bytes):
    """Prepared splits, adversarial sets and predictions, changed in their bytes."""

    def __init__(self, folder):
        super().__init__(folder)
        for kind, read in READERS.items():
            write_sound(folder / kind, kind)
            self.samples.append(((folder / kind).read_bytes(), read))


READERS = {"dataset": read_split, "adversarial": read_whole_set, "predictions": read_predictions}


def write_sound(path, kind):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8), rng.integers(0, 2, 6)
    if kind == "dataset":
        metadata = {"kind": kind, "classes": SPLIT["classes"], "fingerprint": fingerprint(images, labels)}
        write_tensors(path, {"images": images, "labels": labels}, metadata)
    elif kind == "adversarial":
        tensors = {"adversarial": images / np.float32(255), "labels": labels, "predictions": labels}
        tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
        save_set(
            path,
            tensors,
            {"eps": 0.1},
            {"attack": "pgd", "entry": "pgd", "source": "cnn8"},
            {"fingerprint": "1"},
            SPLIT,
        )
    else:
        arrays = {"labels": labels, "prediction:clean": labels, "prediction:pgd": labels}
        metadata = {
            "dataset": "a",
            "target": "b",
            "source": "c",
            "attacks": {},
            "classes": ["cat", "dog"],
            "scored": {},
        }
        metadata |= {"clean_fingerprint": "0", "target_fingerprint": "1"}
        write_tensors(path, arrays, {"kind": kind, **metadata})


class SignedFiles:
    """Tensor files of a stranger: any arrays under any metadata, their digests right."""

    NAMES = ("images", "labels", "adversarial", "predictions", "prediction:clean", "prediction:pgd", "other")
    METADATA = (
        "classes",
        "fingerprint",
        "clean_fingerprint",
        "attack",
        "settings",
        "dataset",
        "target",
        "source",
        "attacks",
    )

    def __init__(self, folder):
        self.path = folder / "signed"

    def draw(self):
        shape = st.lists(st.integers(0, 4), max_size=5)
        array = st.tuples(st.sampled_from(["uint8", "int64", "int32", "float32", "float16", "bool", "float64"]), shape)
        metadata = st.dictionaries(st.sampled_from(self.METADATA), VALUES, max_size=9)
        sound = st.booleans()
        return st.tuples(
            st.sampled_from(sorted(READERS)),
            st.dictionaries(st.sampled_from(self.NAMES), array, max_size=5),
            metadata,
            sound,
        )

    def run(self, drawn):
        kind, shapes, metadata, sound = drawn
        rng = np.random.default_rng(len(shapes))
        arrays = {}
        for name, (dtype, shape) in shapes.items():
            dtype = np.dtype(dtype)
            count = int(np.prod(shape)) * dtype.itemsize
            arrays[name] = np.frombuffer(rng.bytes(count), dtype).reshape(shape)
        if sound:
            write_sound(self.path, kind)
            known, metadata = read_arrays(self.path), read_metadata(self.path)
            arrays, metadata = {**known, **arrays}, {**metadata, **metadata}
        try:
            write_tensors(self.path, arrays, {**metadata, "kind": kind})
        except (UnicodeEncodeError, ValueError):
            return
        READERS[kind](self.path)


# --- Checkpoints


def spec_of(**architecture):
    metadata = {"shape": [1, 8, 8], "classes": ["0", "1"], "mean": [0.1], "std": [0.2]}
    return specification({"normalization": "dataset", **architecture}, metadata)


SPECS = [
    spec_of(kind="cnn8", width=2),
    spec_of(kind="resnet18", width=2),
    spec_of(kind="mobilenet_v1", width=2),
    spec_of(kind="custom", factory="os:system", arguments={}),
]
MEMBERS = [SPECS[0], SPECS[0]]
SPECS.append({**SPECS[0], "architecture": {"kind": "ensemble", "members": MEMBERS}})


def write_model(path, spec):
    model = build(SPECS[0] if spec["architecture"]["kind"] == "custom" else spec, seed=0)
    masks = {"network.conv1.weight": torch.ones(2, 1, 3, 3, dtype=torch.bool)}
    save_model(path, model, spec, masks, name="model")


class Checkpoints(Bytes):
    """Checkpoints of small networks, changed in their bytes."""

    def __init__(self, folder):
        super().__init__(folder)
        write_model(folder / "model", SPECS[0])
        self.samples = [((folder / "model").read_bytes(), load_model)]


class SignedCheckpoints:
    """Checkpoints of a stranger: settings, quantizers and tensors changed, the digests and the fingerprint right."""

    FACTORIES = ("os:system", "subprocess:run", "builtins:eval", "torch.hub:load", "shutil:rmtree", "nowhere:make")

    def __init__(self, folder):
        self.path = folder / "signed"
        self.known = []
        for index, spec in enumerate(SPECS):
            write_model(folder / f"model{index}", spec)
            self.known.append((read_arrays(folder / f"model{index}"), read_metadata(folder / f"model{index}")))

    def draw(self):
        kind = st.sampled_from(["replace", "remove"])
        size = st.integers(-1, 5) | st.sampled_from([64, 4096, 10_000, 10**6, 2**31, 2**63]) | SCALARS
        change = st.tuples(kind, st.integers(0, 1000), size | VALUES | st.sampled_from(self.FACTORIES))
        cut = st.tuples(st.integers(0, 100), st.sampled_from(["drop", "first", "flat", "cast", "twice"]))
        return st.tuples(
            st.integers(0, len(SPECS) - 1), st.lists(change, max_size=3), st.lists(cut, max_size=2), st.booleans()
        )

    def run(self, drawn):
        index, changes, cuts, retyped = drawn
        arrays, metadata = dict(self.known[index][0]), copy.deepcopy(self.known[index][1])
        for kind, number, value in changes:
            part = metadata["specification"] if not retyped else metadata
            if found := places(part):
                *parents, last = found[number % len(found)]
                for parent in parents:
                    part = part[parent]
                if kind == "replace":
                    part[last] = value
                else:
                    del part[last]
        for number, cut in cuts:
            if arrays:
                self.cut(arrays, sorted(arrays)[number % len(arrays)], cut)
        metadata["fingerprint"] = fingerprint(*(arrays[name] for name in sorted(arrays)))
        try:
            write_tensors(self.path, arrays, metadata)
        except (UnicodeEncodeError, ValueError):
            return
        load_model(self.path)

    def cut(self, arrays, name, cut):
        array = arrays.pop(name)
        if cut == "first":
            arrays[name] = array[:1] if array.ndim else array
        elif cut == "flat":
            arrays[name] = array.reshape(-1)
        elif cut == "cast":
            arrays[name] = array.astype(np.float16)
        elif cut == "twice":
            arrays[name] = arrays["other." + name] = array


# --- Images and tables


def encoded():
    """File name -> bytes of a small image of every format that is read, and of some that are not."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.integers(0, 3, (12, 10, 3)), axis=0).astype(np.uint8)
    found = {}
    for name in ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000", "ICO", "TGA", "PDF", "EPS"):
        buffer = io.BytesIO()
        Image.fromarray(smooth).save(buffer, name)
        found[name] = buffer.getvalue()
    for mode in ("P", "LA", "1", "I;16", "CMYK"):
        buffer = io.BytesIO()
        Image.new(mode, (9, 7)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
        found[mode] = buffer.getvalue()
    return found


class ImageFolders(Bytes):
    """A folder with one changed image among sound ones, now and then in a class of a hostile name."""

    def __init__(self, folder):
        super().__init__(folder)
        self.root, self.images = folder / "images", encoded()

    def run(self, drawn):
        rng = random.Random(drawn)
        shutil.rmtree(self.root, ignore_errors=True)
        names = [
            name for name in HOSTILE if name not in ("", ".", "..") and not set("/\0") & set(name) and len(name) < 250
        ]
        name = rng.choice(names) if rng.random() < 0.05 else "class"
        for split in ("train", "test"):
            for folder in (name, "other"):
                (self.root / split / folder).mkdir(parents=True)
                (self.root / split / folder / "sound.png").write_bytes(self.images["PNG"])
        content = self.images[rng.choice(sorted(self.images))]
        (self.root / "train" / name / "changed").write_bytes(mutated(content, rng))
        settings = {"root": str(self.root), "size": rng.choice([4, 9]), "channels": rng.choice([1, 3])}
        settings["background"] = "#ffffff"
        for images, _ in load_image_folder(settings)[:2]:
            images[:]


class Tables(Bytes):
    """Tables of findings with bytes changed, with the digest beside them as it was and as a stranger makes it right."""

    def __init__(self, folder):
        super().__init__(folder)
        self.path = folder / "audit.csv"
        with writing_csv(self.path) as file:
            file.write("dataset,source,target,attack,check,name,value,threshold,verdict,message\n")
            file.write("digits,a,*,pgd,1,inside,0.1,0.1,pass,\n" * 3)
        self.samples = [(self.path.read_bytes(), self.read)]
        self.beside = digest_of(self.path)
        self.digest = self.beside.read_text()

    def read(self, path):
        self.beside.write_text(self.digest)
        try:
            read_findings(path)
        except InputError:
            self.beside.write_text(hashlib.sha256(path.read_bytes()).hexdigest())
            read_findings(path)


# Target -> (its class, its share of the inputs).
TARGETS = {
    "config": (Config, 0.25),
    "tensors": (TensorFiles, 0.2),
    "signed tensors": (SignedFiles, 0.1),
    "checkpoint": (Checkpoints, 0.1),
    "signed checkpoint": (SignedCheckpoints, 0.1),
    "images": (ImageFolders, 0.2),
    "tables": (Tables, 0.05),
}
