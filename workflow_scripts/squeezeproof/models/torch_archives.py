"""The zip files that torch writes: programs among them are refused, with the lines that make a state_dict of one."""

import zipfile
import zlib
from pathlib import Path

from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.quantizers import DECOMPOSED, WRITTEN, of_program

# Of torch.save's zip file.
WEIGHTS = "data.pkl"
# Bytes of a graph that is looked into.
MAX_GRAPH = 100_000_000
TORCHSCRIPT, EXPORTED = "constants.pkl", ("serialized_exported_program.json", "archive_format", "models/model.json")


def refuse_archives(path: str | Path) -> None:
    """Raise InputError for TorchScript and torch.export, which are programs, and for a zip file that is damaged or
    holds no weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = ["/".join(name.split("/")[1:]) for name in archive.namelist()]
            damaged = _damaged(archive)
            pt2e = any(_says(archive, part, DECOMPOSED) for part in archive.infolist())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the file in it") from None
    except (zipfile.BadZipFile, OSError):
        return
    if TORCHSCRIPT in names or any(name.startswith("code/") for name in names):
        raise InputError(f"{path}: is a TorchScript program. {save_whole(path, f'torch.jit.load({str(path)!r})')}")
    if pt2e:
        raise InputError(f"{path}: {of_program(path)}")
    if any(name in EXPORTED or name.startswith("models/") for name in names):
        raise InputError(
            f"{path}: is a program of torch.export. {save_whole(path, f'torch.export.load({str(path)!r})')}"
        )
    if WEIGHTS not in names:
        raise InputError(f"{path}: is a zip archive and no torch file; unpack it, and name the file of weights in it")
    if damaged:
        raise InputError(f"{path}: is damaged: its {damaged} is not what was written; copy or download it again")


def _damaged(archive: zipfile.ZipFile) -> str | None:
    """The name of a part of a zip file that has another checksum than when it was written, or None.

    torch packs nothing, and writes 0 where it was told to compute no checksums.
    """
    parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or not any(part.CRC for part in parts):
        return None
    try:
        return archive.testzip()
    except (RuntimeError, NotImplementedError, EOFError):
        # Of what is encrypted, or ends before it should, torch says that it cannot be read.
        return None


def _says(archive: zipfile.ZipFile, part: zipfile.ZipInfo, words: bytes) -> bool:
    """Whether a part of torch.export's zip file that describes its graph has these words; it is read, not run."""
    within = part.filename.partition("/")[2]
    if not (within in EXPORTED or within.startswith("models/")) or part.file_size > MAX_GRAPH:
        return False
    try:
        return words in archive.read(part)
    except (RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        pass_on(error)
        return False


def save_whole(path: str | Path, loaded: str | None = None) -> str:
    """The lines of Python that make a state_dict of a program."""
    state = "dict(model.state_dict)" if loaded and "export" in loaded else "model.state_dict()"
    return lines_to_save(path, f"torch.save({state}, {WRITTEN!r})", loaded)


def lines_to_save(path: str | Path, save: str, loaded: str | None = None) -> str:
    """The lines of Python that load a file, running what it holds, and save its weights."""
    return (
        f"Make a state_dict of it where you trust it, as this runs its code:\n"
        f"    import torch\n"
        f"    model = {loaded or f'torch.load({str(path)!r}, weights_only=False)'}\n"
        f"    {save}\n"
        f"and name {WRITTEN} here"
    )
