"""The shell and the folders that a run is started in: it works, or one clear line says what to do."""

import os
import string
import subprocess
import sys
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT, TINY, Workspace

from squeezeproof.errors import InputError
from squeezeproof.study.surroundings import LIBRARY, check_surroundings, not_writable

# Every character of a name that a file system takes, without the one that separates folders and without braces.
ODD = "".join(sorted(set(string.printable) - set(string.whitespace) - set("/{}"))) + " ü→"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf_8"])
def test_any_name_of_utf_8_and_of_a_folder_will_do(encoding):
    check_surroundings("/" + ODD, encoding, "/home/" + ODD)


def test_every_problem_is_told_at_once_with_what_to_do():
    with pytest.raises(InputError) as error:
        check_surroundings("/a{b}", "ANSI_X3.4-1968", "/c}", warnings=["ignore", "error::DeprecationWarning"])
    first, *problems = str(error.value).splitlines()
    assert first == "Nothing was run:"
    words = "PYTHONUTF8=1", "unset PYTHONWARNINGS", "/a{b}", "/c}"
    assert [word in line for word, line in zip(words, problems, strict=True)] == [True] * 4


@pytest.mark.parametrize("name", ["results", "data", "data/prepared"])
@pytest.mark.parametrize("link", [False, True])
def test_a_file_or_a_dead_link_where_a_folder_belongs_is_told(tmp_path, name, link):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.symlink_to("nowhere") if link else place.touch()
    what = "a link to what is not there" if link else "a file"
    with pytest.raises(InputError, match=f"{place}: is {what}, where a study writes a folder; move it"):
        check_surroundings("/rules", "utf-8", tmp_path)
    place.unlink()
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    check_surroundings("/rules", "utf-8", tmp_path, [], [])


@pytest.mark.parametrize(
    ("option", "refused"),
    [
        *((name, True) for name in ("error", "e", "err::UserWarning", " error : x")),
        *((name, False) for name in ("", "default", "a", "ignore::error")),
    ],
)
def test_errors_of_warnings_are_refused_however_they_are_written(option, refused):
    with pytest.raises(InputError, match="unset PYTHONWARNINGS") if refused else nullcontext():
        check_surroundings("/a", "utf-8", "/b", [], [option])
    # As Python itself reads it.
    action = option.partition(":")[0].strip()
    assert (warnings._getaction(action) == "error") is refused


def test_folders_of_others_are_named_with_their_owner(tmp_path, monkeypatch):
    place = tmp_path / "mine"
    (place / ".snakemake/locks").mkdir(parents=True)
    check_surroundings("/a", "utf-8", place, [], [])
    others = {place, place / ".snakemake/locks"}
    # Of root nothing is anybody's.
    monkeypatch.setattr("os.access", lambda path, mode: path not in others)
    assert not_writable([place / "results/study", place / "data"]) == [
        f"the folder {place}: belongs to {place.owner()}, and you may write no files there; ask for the right to, or "
        "run in a copy that is yours"
    ]
    with pytest.raises(
        InputError, match=rf"(?s)run:\n  - the folder {place}/\.snakemake/locks: belongs to \w+, [^\n]*$"
    ):
        check_surroundings("/a", "utf-8", place, [], [])


def test_another_squeezeproof_that_jobs_would_run_is_refused(tmp_path):
    (tmp_path / "squeezeproof").mkdir()
    # A checkout of the repository has no such file at its top.
    check_surroundings("/a", "utf-8", "/b", ["", str(tmp_path), str(LIBRARY)])
    (tmp_path / "squeezeproof/__init__.py").touch()
    with pytest.raises(InputError, match=rf"{tmp_path}: holds another squeezeproof, .* out of PYTHONPATH"):
        check_surroundings("/a", "utf-8", "/b", [str(LIBRARY), str(tmp_path)])


def made(path):
    """The tiny study in a folder, with a question beyond ASCII."""
    workspace = Workspace.create(path, {**TINY, "question": "Prüft ε → ∞?"})
    text = yaml.safe_dump(workspace.config, sort_keys=False, allow_unicode=True)
    (workspace.path / "config.yaml").write_text(text, encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """In a folder whose name has every character, a dash first."""
    return made(tmp_path_factory.mktemp("odd") / f"-{ODD}")


def snakemake(workspace, *arguments, umask=-1, **variables):
    """(exit status, output) of Snakemake in a workspace, with other environment variables; None removes one."""
    environment = {key: value for key, value in {**os.environ, **variables}.items() if value is not None}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(
        command, cwd=workspace.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, umask=umask
    )
    return done.returncode, done.stdout.decode(errors="replace")


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_an_ascii_locale_is_refused_in_one_line(tmp_path):
    status, output = snakemake(made(tmp_path / "study"), "-n", **ASCII)
    assert status == 1 and "PYTHONUTF8=1" in output
    assert "Unicode" not in output and "Traceback" not in output


def test_the_library_of_another_checkout_on_the_path_of_python_is_refused(tmp_path):
    own, other = made(tmp_path / "study"), made(tmp_path / "other").path / "workflow_scripts"
    status, output = snakemake(own, "-n", PYTHONPATH=str(other))
    assert status == 1 and f"{other}: holds another squeezeproof" in output and "Traceback" not in output
    status, output = snakemake(own, "-n", "--quiet", PYTHONPATH=str(own.path / "workflow_scripts"))
    assert status == 0, output


def test_an_ascii_locale_with_utf_8_mode_and_odd_names_plan_the_study(odd):
    status, output = snakemake(odd, "-n", **{**ASCII, "PYTHONUTF8": "1"})
    assert status == 0, output


def test_make_keeps_caches_here_where_the_home_takes_none(tmp_path):
    study = made(tmp_path / "study")
    unset = ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}

    def make(recipe, home, **variables):
        command = ["make", "-s", "-f", ROOT / "Makefile", "--eval", f"tried: ; @{recipe}", "tried"]
        shell = {**environment, "HOME": str(home), **variables}
        return subprocess.run(command, cwd=study.path, env=shell, capture_output=True, text=True)

    show = "echo $${XDG_CACHE_HOME-none} $${MPLCONFIGDIR-none}"
    assert make(show, tmp_path).stdout == "none none\n"
    assert make(show, "/dev/null", XDG_CACHE_HOME=str(tmp_path / "mine")).stdout == f"{tmp_path / 'mine'} none\n"
    kept = study.path / ".snakemake"
    assert make(show, "/dev/null").stdout == f"{kept / 'cache'} {kept / 'matplotlib'}\n"
    planned = make(f"{sys.executable} -m snakemake -n --quiet", "/dev/null")
    assert planned.returncode == 0, planned.stderr


# What people have in their shells, and what asserts, warnings and figures might hang on. Errors of warnings are apart.
SHELL = {
    "PYTHONOPTIMIZE": "1",
    "PYTHONWARNINGS": "always",
    "PYTHONHASHSEED": "7",
    "OMP_NUM_THREADS": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "TkAgg",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "COLUMNS": "0",
}


@pytest.mark.slow
def test_a_run_in_odd_surroundings_makes_the_same_tables(odd, finished, tmp_path):
    """An unwritable home, a full temporary folder, results on another file system, names of every character."""
    full, other = tmp_path / "full", tmp_path / "other"
    for folder, size in ((full, "16k"), (other, "64m")):
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting a tmpfs is not allowed here")
    try:
        with pytest.raises(OSError, match="No space left"):
            (full / "filler").write_bytes(bytes(2**17))
        (odd.path / "results").symlink_to(other)
        surroundings = {**ASCII, "PYTHONUTF8": "1", "HOME": "/dev/null", "XDG_CACHE_HOME": str(tmp_path)}
        status, output = snakemake(odd, **surroundings, **SHELL, TMPDIR=str(full), umask=0o077)
        assert status == 0, output[-4000:]
        assert "Prüft ε → ∞?" in output
        assert odd.tables() == finished.tables()
    finally:
        for folder in (full, other):
            subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_file_system_is_told_as_such(tmp_path, monkeypatch):
    """Whoever owns a folder on it."""
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_flag=os.ST_RDONLY))
    below = [tmp_path / "a/b", tmp_path / "a", tmp_path / "c"]
    for place in below:
        place.mkdir(exist_ok=True, parents=True)
    assert not_writable([*below, tmp_path / "new"]) == [
        f"the folder {tmp_path}: lies on a read-only file system; mount it so that it can be written to"
    ]
    assert [problem.partition(":")[0] for problem in not_writable(below)] == [
        f"the folder {place}" for place in (tmp_path / "a", tmp_path / "c")
    ]
