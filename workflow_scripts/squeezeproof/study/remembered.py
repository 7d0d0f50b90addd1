"""What was found out of the content of modules, kept in a file, so that the next run need not find it out again.

To read the syntax trees of the library takes a quarter of the time of a small dry run; every job of a cluster does it,
too. An answer is kept by the digest of all that it depends on: the content, the code that finds it out, the version of
Python. So it cannot be out of date, whatever became of the times of files. A file that is not there, is damaged or
cannot be written costs time and nothing else. Standard library only.
"""

import atexit
import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError

# In the folder that Snakemake keeps for itself below the working directory.
FILE = Path(".snakemake/squeezeproof/code.json")
# Many versions of every module of the library; then the file starts anew with what the last run asked for.
MOST = 3000

Found = tuple[str, list[str]]


class Remembered:
    """Answers, each a digest and a list of names, by the content of the modules that they are of."""

    def __init__(self, code: Path) -> None:
        """Args: the module that finds the answers; when its text changes, they are found anew."""
        texts = [code.read_bytes(), Path(__file__).read_bytes(), sys.version.encode()]
        self.maker = b"".join(hashlib.sha256(text).digest() for text in texts)
        self.file: Path | None = None
        self._known: dict[str, Found] = {}
        self._asked: dict[str, Found] = {}
        self._changed = False

    def keep(self, file: Path = FILE) -> None:
        """Start with what a file knows, and write it when this process ends, if it then knows more.

        Several processes may use one file: it appears whole, and the last one to end decides what it holds.
        """
        if self.file is None:
            atexit.register(self.write)
        self.file = file.absolute()
        self._known.update(_read(self.file))

    def get(self, content: bytes, package: tuple[str, ...], find: Callable[[bytes], Found]) -> Found:
        """The answer to the content of a module of a package; that of `find` where it is not known."""
        key = hashlib.sha256(self.maker + ".".join(package).encode() + b"\0" + content).hexdigest()
        if key not in self._known:
            self._known[key] = find(content)
            self._changed = True
        self._asked[key] = self._known[key]
        return self._known[key]

    def write(self) -> None:
        """Keep what is known for the next process, if there is more than before."""
        # Snakemake makes its folder; where it has none, as on other machines, there is no next process.
        if self.file is None or not self._changed or not self.file.parents[1].is_dir():
            return
        text = json.dumps(self._known if len(self._known) <= MOST else self._asked)
        with contextlib.suppress(OSError, InputError), replacing(self.file) as temporary:
            temporary.write_text(f"{_checksum(text)}\n{text}")
            self._changed = False


def _read(file: Path) -> dict[str, Found]:
    """What other processes found out; nothing, where the file is not as one of them wrote it."""
    try:
        checksum, _, text = file.read_text(encoding="ascii").partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    return json.loads(text) if checksum == _checksum(text) else {}


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
