"""Two models and a folder of images -> a study, its run, and one page: may the compressed model replace its base?

    make check BASE=my/base.pt COMPRESSED=my/small.onnx IMAGES=my/images

What a file does not say: FACTORY=my_networks:tiny or ARCHITECTURE='{kind: cnn8, width: 16}' for the base's network, the
same with COMPRESSED_ before it for that of the compressed model; KEY=ema, COMPRESSED_KEY=ema for the entry of a .pt
file that has several; NORMALIZATION=half, SIZE=32, CHANNELS=1, EPS=8/255 or
EPS=2/255,8/255, COUNT=500 test images, OPTIONS='{layout: nhwc}' of an external model.
"""

import argparse
import difflib
import html
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from convert_checkpoint import convert
from readers import while_read

from squeezeproof.atomic import replacing
from squeezeproof.entries.architecture import TORCH_FILES, WEIGHTS
from squeezeproof.entries.compressions.external import DEPLOYED
from squeezeproof.errors import InputError
from squeezeproof.from_files.equal import refuse_equal
from squeezeproof.from_files.images import as_given
from squeezeproof.from_files.study import Asked, question, understand
from squeezeproof.models.torch_archives import refuse_archives
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.schema import check_config

NEEDED = ("base", "compressed", "images")
FURTHER = (
    "factory", "architecture", "compressed_factory", "compressed_architecture", "normalization", "size", "channels",
    "eps", "count", "options", "key", "compressed_key",
)  # fmt: skip
# Of make itself.
OF_MAKE = ("PYTHON", "CORES", "SHELL")
UNITS = {"size": "pixels", "channels": "channels", "count": "images"}
# Characters of the log that a failed run ends with.
SHOWN = 3000


def weights(path, folder, name, key):
    """The path of a file of weights; a torch file is converted, its weights alone, into the folder, under its name.

    `key` names the entry of a torch file that holds them, where several may be meant.
    """
    if not Path(path).is_file():
        raise InputError(f"{name.upper()}={path}: {no_file(Path(path))}")
    endings = (*TORCH_FILES, WEIGHTS, *DEPLOYED)
    if not path.endswith(endings):
        # Programs of torch, whose names end in anything, are told as such.
        refuse_archives(path)
    if not path.endswith(endings) and (name == "compressed" or path.lower().endswith(endings)):
        raise InputError(
            f"{name.upper()}={path}: is no model by its name, as that ends in none of {', '.join(endings)}; rename it "
            f"to what it is"
        )
    if name == "base" and path.endswith(DEPLOYED):
        raise InputError(
            f"BASE={path}: holds a network without gradients, which attacks on the base follow; give its weights, as "
            f".pt or .safetensors"
        )
    if not path.endswith(TORCH_FILES):
        if key:
            raise InputError(f"{name.upper()}={path}: an entry ({key}) is named of torch files alone; leave it out")
        return path
    target = folder / name / f"{Path(path).name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    option = "KEY=" if name == "base" else f"{name.upper()}_KEY="
    for note in convert(path, target, key, option=option)[2]:
        if option in note:
            print(f"{name.upper()}={path}: {note}", flush=True)
    return str(target)


def no_file(path):
    """What is in the place of a file, in words."""
    if path.is_dir():
        return "is a folder; name the file in it"
    return "is a link to a file that is not there" if path.is_symlink() else "there is no such file"


def network(arguments, prefix=""):
    """The entry of `architectures` that a person wrote, or None."""
    factory, text = getattr(arguments, f"{prefix}factory"), getattr(arguments, f"{prefix}architecture")
    written = mapping(text, f"{prefix}architecture") if text else {}
    return {"kind": "custom", "factory": factory, **written} if factory else written or None


def mapping(text, name):
    """The mapping that a text is in YAML."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{name.upper()}={text}: is no mapping such as '{{kind: cnn8, width: 16}}'")
    return found


def places(written):
    """Where the study of what a person wrote lies, beside the compressed model, and what is made on the way."""
    compressed = Path(written["COMPRESSED"])
    study = compressed.with_name(f"{compressed.name}.check.yaml")
    return study, compressed.parent / "check-files" / f"{compressed.name}-{question(written)}"


def ask(arguments):
    """The Asked of the command's arguments."""
    written = {name.upper(): str(getattr(arguments, name)) for name in (*NEEDED, *FURTHER) if getattr(arguments, name)}
    same = Path(arguments.base).resolve() == Path(arguments.compressed).resolve()
    if same and Path(arguments.base).exists() and arguments.key == arguments.compressed_key:
        raise InputError(
            f"BASE={arguments.base}, COMPRESSED={arguments.compressed}: are one file, which is as good as itself; name "
            f"the compressed model"
        )
    study, files = places(written)
    return Asked(
        base=weights(arguments.base, files, "base", arguments.key),
        compressed=weights(arguments.compressed, files, "compressed", arguments.compressed_key),
        images=arguments.images,
        study=study,
        files=files,
        architecture=network(arguments),
        compressed_architecture=network(arguments, "compressed_"),
        normalization=arguments.normalization or None,
        side=arguments.size,
        channels=arguments.channels,
        eps=[part.strip() for part in arguments.eps.split(",")] if arguments.eps else None,
        count=arguments.count,
        options=mapping(arguments.options, "options") if arguments.options else {},
        written=written,
    )


def as_written(text, asked):
    """A message with the files that a person named in the places of what was made of them."""
    for made, name in ((asked.base, "BASE"), (asked.compressed, "COMPRESSED")):
        text = text.replace(made, asked.written[name])
    return as_given(text, asked.images, asked.files / "images")


def look_out(asked):
    """Say what the search takes that follows, where a person did not name the base's network."""
    if asked.architecture is None:
        base = asked.written["BASE"]
        print(f"Looking for the network of {base}; FACTORY= or ARCHITECTURE= names it at once", flush=True)


def save(path, text):
    """Write the study; one that was edited since is kept beside it."""
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        print(f"{path}: was another study, which is now {set_aside(path)}")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def set_aside(path):
    """Move a file to a free name beside it, and return that; None where there is no file."""
    if not path.is_file():
        return None
    names = (path.with_name(f"{path.stem}.old{number}{path.suffix}") for number in itertools.count(1))
    kept = next(name for name in names if not name.exists())
    path.replace(kept)
    return kept


def show(page, shown, earlier):
    """Put the page of a study in its place beside the compressed model, and say what it answers.

    Args:
        earlier: where the page lies now that was in this place before; None where there was none.
    """
    text = page.read_text(encoding="utf-8")
    with replacing(shown) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if earlier is not None and earlier.read_text(encoding="utf-8") == text:
        earlier.unlink()
    elif earlier is not None:
        print(f"{shown}: was another page, which is now {earlier}")
    for said in re.findall(r'<h1>(.*?)</h1>|<p class="doubt">(.*?)</p>', text):
        print(html.unescape("".join(said)))
    print(f"The page: {shown}")


def from_make(environment):
    """Name -> what stands on the command line of make, whose Makefile tells these names in WRITTEN; InputError where
    one is unknown.
    """
    known = [name.upper() for name in (*NEEDED, *FURTHER)]
    written = [name for name in environment.get("WRITTEN", "").split() if name not in OF_MAKE]
    for name in written:
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            raise InputError(
                f"{name}= is unknown; {f'did you mean {near[0]}=' if near else f'known are {listed(known)}'}"
            )
    return {name.lower(): environment[name] for name in written}


def writable_as_text(name, value):
    """InputError where what a person gave cannot stand in a line of a study."""
    if not value.isprintable():
        raise InputError(
            f"{name}={value!a}: has a line break or another letter that cannot be printed; give it another name, of "
            f"letters, digits, spaces and such"
        )


def listed(names):
    return ", ".join(f"{name}=" for name in names)


def arguments_of(environment):
    """The command's arguments; what is left out is what stands on the command line of make, BASE=... and so on."""
    given = from_make(environment)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in (*NEEDED, *FURTHER):
        kind = int if name in ("size", "channels", "count") else str
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=given.get(name) or None)
    parser.add_argument("--cores", default="2")
    arguments = parser.parse_args()
    for name in ("size", "channels", "count"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise InputError(f"{name.upper()}={number}: is no number of {UNITS[name]}; write 1 or more")
    for name in (*NEEDED, *FURTHER):
        writable_as_text(name.upper(), str(getattr(arguments, name) or ""))
    if missing := [name.upper() for name in NEEDED if not getattr(arguments, name)]:
        raise InputError(f"{listed(missing)} missing; write {__doc__.splitlines()[2].strip()}")
    return arguments


def main():
    # Factories lie below the working directory.
    sys.path.insert(0, os.getcwd())
    asked = None
    try:
        arguments = arguments_of(os.environ)
        asked = ask(arguments)
        look_out(asked)
        found = understand(asked)
        check_config(yaml.safe_load(found.text))
        refuse_equal(asked)
    except (InputError, ConfigError) as error:
        sys.exit(f"check: {as_written(str(error), asked) if asked else error}")
    study, page = asked.study, found.page
    save(study, found.text)
    print("\n".join([*found.lines, f"Study: {study}"]), flush=True)
    shown = study.with_suffix(".html")
    # The page of an earlier call is no answer to this one, should it fail.
    earlier = set_aside(shown)
    log = asked.files / "run.log"
    asked.files.mkdir(parents=True, exist_ok=True)
    print(f"Running it; what happens is in {log}", flush=True)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        arguments.cores,
        "--configfile",
        str(study),
        "--",
        str(page),
    ]
    with open(log, "w", encoding="utf-8") as output:
        ended = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        told = as_written(log.read_text(encoding="utf-8"), asked)
        # Its end, from the beginning of a line.
        told = told if len(told) <= SHOWN else told[-SHOWN:].partition("\n")[2]
        kept = f"; the page of the call before is {earlier}" if earlier else ""
        sys.exit(f"{told}\ncheck: the study did not end; {log} has all of it{kept}")
    show(page, shown, earlier)


if __name__ == "__main__":
    with while_read():
        main()
