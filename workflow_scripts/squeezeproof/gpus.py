"""GPUs: a job that computes on a GPU holds a place on one GPU of its machine until its process ends.

A GPU has one place, or as many as `compute.jobs_per_gpu` says. A place is held by a lock on a file that carries the
GPU's UUID. The kernel frees the lock with the process, however that ends.
"""

import ctypes
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TextIO

from squeezeproof.errors import InputError
from squeezeproof.jobs import log

# A GPU with less of its memory free serves somebody else, such as another user or a notebook.
FREE_SHARE = 0.5
NO_GPU = "compute.device: cuda, but torch sees no GPU here; write auto or cpu, or run on a GPU node"
_held = []


def sees_gpu() -> bool:
    """Whether torch finds a GPU that this process may use; what asks must not be forked afterwards."""
    import torch

    return torch.cuda.is_available()


def take_gpu(
    names: Sequence[str],
    *,
    places: int = 1,
    busy: Callable[[str], bool] | None = None,
    folder: Path | None = None,
    interval: float = 1.0,
) -> int:
    """Hold a place on a GPU and return the GPU's index in `names`; waits, and says so, while there is no free one.

    Args:
        names: of the GPUs to choose from, the same in every process of this machine, in order of preference.
        places: of each GPU; all GPUs get a first job before one gets its second.
        busy: tells of a GPU's name whether something that takes no locks uses it; `memory_is_used` by default.
        folder: of the lock files; this user's own on this machine by default.
        interval: seconds between two looks at the GPUs.
    """
    folder, busy = folder or lock_folder(), busy or memory_is_used
    last = float("-inf")
    while True:
        used = set()
        for place, (index, name) in product(range(places), enumerate(names)):
            lock = _lock(_file(folder, name, place))
            if lock is None:
                continue
            # Where a job of ours computes, the memory in use tells nothing of other programs.
            if not _is_shared(folder, name, places, place) and busy(name):
                lock.close()
                used.add(name)
                continue
            _held.append(lock)
            return index
        if time.monotonic() - last >= 60:
            last = time.monotonic()
            others = f"{len(names) - len(used)} held by other jobs, {len(used)} used by other programs"
            log.info("waiting for a GPU: %d here, %s", len(names), others)
        time.sleep(interval)


def lock_folder() -> Path:
    """The folder of this user's locks on this machine; InputError where somebody else made it."""
    # Not in TMPDIR or XDG_RUNTIME_DIR, which may differ between two runs that share the GPUs.
    folder = Path("/tmp") / f"squeezeproof-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder}: belongs to somebody else, jobs lock their GPUs there; have it removed")
    return folder


def memory_is_used(name: str) -> bool:
    """Whether less than half of a GPU's memory is free, by the driver's library; False where it cannot tell."""
    memory = _memory(name)
    return memory is not None and memory.free < FREE_SHARE * memory.total


def _file(folder: Path, name: str, place: int) -> Path:
    return folder / (f"{name}.{place}.lock" if place else f"{name}.lock")


def _is_shared(folder: Path, name: str, places: int, own: int) -> bool:
    """Whether another place of this GPU is held."""
    locks = [_lock(_file(folder, name, place)) for place in range(places) if place != own]
    for lock in locks:
        if lock is not None:
            lock.close()
    return None in locks


def _lock(path: Path) -> TextIO | None:
    file = open(path, "a")  # noqa: SIM115 (it is held until the process ends)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def _memory(name: str) -> _Memory | None:
    """What NVML says of a GPU's memory in bytes, None where it says nothing; torch would first claim some of it."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    handle, memory = ctypes.c_void_p(), _Memory()
    failed = (
        library.nvmlInit_v2()
        or library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
        or library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    )
    return None if failed else memory
