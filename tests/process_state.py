"""What tests that share a process would otherwise see of each other.

A job of the workflow is a process of its own, which sets torch's threads, logging and more for itself. Tests run jobs
in their own process, where all of that would stay.
"""

import logging
import os
import random
import signal
import sys
from contextlib import contextmanager

from squeezeproof import factories

LOG = logging.getLogger("squeezeproof")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGXFSZ)


@contextmanager
def kept():
    """Afterwards the process is as it was before: see the functions below."""
    parts = [part() for part in (_of_the_system, _of_python, _of_numpy, _of_torch)]
    try:
        yield
    finally:
        for restore in parts:
            restore()


def _of_the_system():
    """The working directory, the environment, the mask of new files and what signals do."""
    folder, environment, mask = os.getcwd(), dict(os.environ), os.umask(0o022)
    os.umask(mask)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def restore():
        os.chdir(folder)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.umask(mask)
        signal.alarm(0)
        for number, handler in handlers.items():
            # None is one that no Python code set.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore


def _of_python():
    """Where modules are looked for, whose factories may be called, logging, and random numbers."""
    path, allowed = list(sys.path), set(factories._allowed)
    raises, level, handlers = logging.raiseExceptions, LOG.level, list(LOG.handlers)
    numbers = random.getstate()

    def restore():
        sys.path[:] = path
        factories._allowed.intersection_update(allowed)
        factories._allowed.update(allowed)
        logging.raiseExceptions = raises
        LOG.setLevel(level)
        LOG.handlers[:] = handlers
        random.setstate(numbers)

    return restore


def _of_numpy():
    """The random numbers of numpy, where it was imported before."""
    if "numpy" not in sys.modules:
        return lambda: None
    import numpy as np

    drawn = np.random.get_state()
    return lambda: np.random.set_state(drawn)


def _of_torch():
    """The settings of torch and its random numbers, where it was imported before."""
    if "torch" not in sys.modules:
        return lambda: None
    import torch

    threads, state, dtype = torch.get_num_threads(), torch.get_rng_state(), torch.get_default_dtype()
    gradients, fused = torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()

    def restore():
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        torch.backends.mha.set_fastpath_enabled(fused)
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic, warn_only=warns)

    return restore
