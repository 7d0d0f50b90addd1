"""What make sets up, and what it leaves alone."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("name", [".venv", ".venv-cloud"])
def test_an_environment_behind_a_link_is_never_cleared(tmp_path, name):
    """Work trees may share one; to clear it would take the packages from whatever runs with it."""
    place, shared = tmp_path / "tree", tmp_path / "shared"
    shared.mkdir()
    (shared / "package").touch()
    place.mkdir()
    for lock in ("requirements.lock", "requirements-cloud.lock", "requirements-test-cloud.lock"):
        (place / lock).touch()
    if name != ".venv":
        (place / ".venv").mkdir()
        (place / ".venv/.ready").touch()
    (place / name).symlink_to(shared)
    shutil.copy(ROOT / "Makefile", place)
    # What was given to the make that runs the tests is not given to this one.
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", f"{name}/.ready", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=place, env=shell, text=True, capture_output=True, check=False)
    assert (shared / "package").exists() and done.returncode
    assert f"{name} is a link to {shared}" in done.stderr and f"touch {name}/.ready" in done.stderr
