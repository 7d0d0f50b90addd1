"""What was found out of modules is taken from a file where it cannot be wrong, and found out again everywhere else."""

import os
from multiprocessing import get_context

import pytest

from squeezeproof.study import code
from squeezeproof.study.code import code_digest
from squeezeproof.study.remembered import Remembered

TREE = {
    "train.py": "from library.models import build\n",
    "library/__init__.py": "",
    "library/models/__init__.py": "",
    "library/models/build.py": "import library.layers\n",
}


@pytest.fixture
def root(tmp_path):
    for name, text in TREE.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


@pytest.fixture
def file(tmp_path):
    """The place of the file; Snakemake has made its folder."""
    (tmp_path / ".snakemake").mkdir()
    return tmp_path / ".snakemake" / "squeezeproof" / "code.json"


@pytest.fixture
def run(root, file, monkeypatch):
    """Function: one process's digest of train.py, and the names of the files whose syntax trees it read."""

    def run(maker=code.__file__):
        remembered, read = Remembered(code.Path(maker)), []
        monkeypatch.setattr(code, "REMEMBERED", remembered)
        read_tree = code._read_tree
        monkeypatch.setattr(code, "_read_tree", lambda *asked: read.append(asked[2].name) or read_tree(*asked))
        for function in (code._read, code._files, code.code_digest):
            function.cache_clear()
        remembered.keep(file)
        digest = code_digest("train.py", root=root)
        remembered.write()
        monkeypatch.setattr(code, "_read_tree", read_tree)
        return digest, read

    yield run
    for function in (code._read, code._files, code.code_digest):
        function.cache_clear()


def test_the_next_process_reads_no_tree_and_finds_the_same(run, file):
    digest, read = run()
    assert {"train.py", "build.py"} <= set(read)
    written = file.stat().st_mtime_ns
    assert run() == (digest, [])
    assert file.stat().st_mtime_ns == written


def test_an_edit_that_keeps_time_and_size_is_seen(run, root):
    digest, _ = run()
    edited = root / "library/models/build.py"
    before = edited.stat()
    edited.write_text("import library.lazier\n")
    os.utime(edited, ns=(before.st_atime_ns, before.st_mtime_ns))
    after, read = run()
    assert edited.stat().st_size == before.st_size and after != digest and read == ["build.py"]
    edited.write_text(TREE["library/models/build.py"])
    assert run() == (digest, [])


def test_a_module_that_comes_later_is_found(run, root):
    digest, _ = run()
    (root / "library/layers.py").write_text("new = True\n")
    after, read = run()
    assert after != digest and read == ["layers.py"]


def test_the_same_text_in_another_package_is_another_module(run, root):
    (root / "library/models/build.py").write_text("from . import layers\n")
    (root / "library/build.py").write_text("from . import layers\n")
    (root / "train.py").write_text("import library.build, library.models.build\n")
    (root / "library/layers.py").write_text("")
    digest, read = run()
    assert read.count("build.py") == 2 and run() == (digest, [])


def test_other_code_that_reads_finds_out_anew(run, tmp_path):
    digest, first = run()
    other = tmp_path / "code.py"
    other.write_text("another version")
    assert run(other) == (digest, first)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: text.replace("library", "librarx", 1),
        lambda text: text.partition("\n")[2],
        lambda text: "\n" + "{}",
        lambda text: text + "é",
    ],
    ids=["empty", "cut short", "altered", "without its checksum", "another file", "not ASCII"],
)
def test_a_damaged_file_is_written_anew(run, file, damage):
    digest, first = run()
    file.write_text(damage(file.read_text()))
    assert run() == (digest, first)
    assert run() == (digest, [])


def test_a_place_that_cannot_be_used_costs_time_only(run, file):
    digest, first = run()
    file.unlink()
    file.mkdir()
    assert run() == (digest, first) and run() == (digest, first)


def test_without_snakemakes_folder_nothing_is_written(run, file):
    file.parent.parent.rmdir()
    run()
    assert not file.parent.parent.exists()


def test_a_file_of_too_many_versions_starts_anew(run, root, file, monkeypatch):
    monkeypatch.setattr("squeezeproof.study.remembered.MOST", 4)
    run()
    small = file.stat().st_size
    for edit in range(3):
        (root / "train.py").write_text(f"from library.models import build\nedit = {edit}\n")
        run()
    assert file.stat().st_size == small


def add(file, number):
    """What one of many processes does."""
    remembered = Remembered(code.Path(code.__file__))
    remembered.keep(file)
    remembered.get(b"%d" % number, (), lambda content: (content.hex(), ["a"] * 1000))
    remembered.write()


def test_several_processes_leave_a_whole_file(file):
    with get_context("fork").Pool(4) as pool:
        pool.starmap(add, [(file, number) for number in range(40)])
    last = Remembered(code.Path(code.__file__))
    last.keep(file)
    assert last._known and all(names == ["a"] * 1000 for _, names in last._known.values())
    assert list(file.parent.iterdir()) == [file]
