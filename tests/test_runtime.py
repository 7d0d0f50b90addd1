"""How torch runs in a job."""

import platform
import subprocess
import sys

import pytest
from conftest import ROOT

FAULTS = """
import resource, sys, torch
from squeezeproof.models.networks import cnn3
from squeezeproof.runtime import set_up
if sys.argv[1] == "set up":
    set_up({"threads": 1, "device": "cpu"})
model, images = cnn3(in_channels=1, num_classes=10, image_size=28), torch.rand(128, 1, 28, 28)
for turn in range(10):
    if turn == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model.zero_grad()
    model(images).sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)
"""


def page_faults(how):
    """Of a training step of CNN-3, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_tensors_are_not_cleared_by_the_kernel_again():
    assert page_faults("set up") < 200 < page_faults("as it stands")
