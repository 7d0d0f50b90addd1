"""Tests of one process do not see what others changed in it."""

import logging
import os
import random
import signal
import sys
import time

import numpy as np
import process_state
import pytest
import torch

from squeezeproof import factories
from squeezeproof.runtime import set_up


def state():
    """What a job or a careless test may change, as far as it can be compared."""
    mask = os.umask(0)
    os.umask(mask)
    log = logging.getLogger("squeezeproof")
    return {
        "folder": os.getcwd(), "environment": dict(os.environ), "mask": mask, "path": list(sys.path),
        "interrupt": signal.getsignal(signal.SIGINT), "factories": set(factories._allowed),
        "logging": (logging.raiseExceptions, log.level, list(log.handlers)),
        "numbers": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "torch": (
            torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
            torch.backends.mha.get_fastpath_enabled(), torch.are_deterministic_algorithms_enabled(),
        ),
    }  # fmt: skip


def change_everything(folder):
    os.chdir(folder)
    os.environ["SQUEEZEPROOF_LEFT"] = "1"
    del os.environ["PATH"]
    os.umask(0o077)
    sys.path.insert(0, str(folder))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(600)
    factories.allow("left")
    logging.raiseExceptions = not logging.raiseExceptions
    log = logging.getLogger("squeezeproof")
    log.setLevel(logging.ERROR)
    log.addHandler(logging.NullHandler())
    random.seed(17), np.random.seed(17), torch.manual_seed(17)
    set_up({"threads": torch.get_num_threads() + 1, "device": "cpu"})
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.backends.mha.set_fastpath_enabled(not torch.backends.mha.get_fastpath_enabled())


def test_all_that_is_changed_is_as_it_was(tmp_path):
    before = state()
    with process_state.kept():
        change_everything(tmp_path)
        changed = state()
    assert state() == before
    assert [name for name in before if changed[name] == before[name]] == []
    # No alarm is left that would end the process.
    assert signal.alarm(0) == 0


def test_that_holds_where_a_test_fails():
    before = state()
    with pytest.raises(ZeroDivisionError), process_state.kept():
        os.environ["SQUEEZEPROOF_LEFT"] = "1"
        1 / 0  # noqa: B018
    assert state() == before


def test_every_test_runs_so(request):
    assert "process_as_it_was" in request.fixturenames


def test_to_look_at_the_process_costs_a_test_little():
    start = time.process_time()
    for _ in range(20):
        with process_state.kept():
            pass
    assert (time.process_time() - start) / 20 < 0.01
