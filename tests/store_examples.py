"""Processes that several test files start."""

import os
import subprocess
import sys
from pathlib import Path

from squeezeproof import jobs

LIBRARY = str(Path(jobs.__file__).parents[1])


def run_python(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": LIBRARY}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
