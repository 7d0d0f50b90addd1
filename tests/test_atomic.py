"""Files are whole or absent, whatever ends their writer."""

import os
import signal

import numpy as np
import pytest
from store_examples import run_python

from squeezeproof import atomic
from squeezeproof.atomic import replacing
from squeezeproof.figures.style import save, words
from squeezeproof.store.csvs import writing_csv
from squeezeproof.store.json_files import write_json
from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors

# --- Atomic replacement


def test_a_new_file_appears_with_its_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        # A rename is atomic inside one folder, not across file systems.
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def csv_file(path):
    with writing_csv(path) as file:
        file.write("a\n1\n")


WRITERS = {
    "tensors": lambda path: write_tensors(path, {"a": np.zeros(2)}, {"kind": "x"}),
    "table": csv_file,
    "json": lambda path: write_json(path, {}),
    "figure": lambda path: save(words("nothing"), [path.with_suffix(".png")]),
}


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027])
@pytest.mark.parametrize("kind", WRITERS)
def test_who_may_read_a_file_is_what_the_umask_says(tmp_path, kind, umask):
    """In a folder that a group shares, files of one are to be read by the others."""
    before = os.umask(umask)
    try:
        WRITERS[kind](tmp_path / "new" / "file")
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o666 & ~umask}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("exception", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_exception_leaves_things_as_they_were(tmp_path, exception, old):
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(type(exception)), replacing(path) as temporary:
        temporary.write_text("half")
        raise exception
    assert [item.read_text() for item in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_kill_between_write_and_replace_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from squeezeproof.atomic import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('new')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run_python(code, str(path)).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    with replacing(path) as temporary:
        temporary.write_text("newer")
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_discarding_removes_what_killed_writers_left(tmp_path):
    for name in ("a.txt", ".a.txt.1.tmp", ".a.txt.22.tmp", ".ab.txt.1.tmp", "b.txt"):
        (tmp_path / name).write_text(name)
    atomic.discard(tmp_path / "a.txt")
    atomic.discard(tmp_path / "never-was.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ab.txt.1.tmp", "b.txt"]


def test_the_content_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(atomic.os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args)))
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert calls == ["fsync", "replace"]


@pytest.mark.parametrize("metadata", [{"value": object()}, {"value": {1, 2}}])
def test_a_failed_write_leaves_the_old_file(tmp_path, metadata):
    path = tmp_path / "file.safetensors"
    write_tensors(path, {"x": np.arange(3)}, {"kind": "old"})
    with pytest.raises(TypeError):
        write_tensors(path, {"x": np.arange(4)}, metadata)
    assert list(tmp_path.iterdir()) == [path]
    assert read_metadata(path) == {"kind": "old"} and len(read_arrays(path)["x"]) == 3


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / "a.safetensors", {"x": np.arange(3)}, {"kind": "test"})
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o640
