"""Fuzzing of what may come from strangers: configs, tensor files, checkpoints, folders of images, tables.

    PYTHONPATH=workflow_scripts:tests python tests/fuzz.py [--inputs 100000] [--seed 0] [--target NAME]

Every input must either be accepted or end in a ConfigError or InputError with a message, within SECONDS and MEMORY,
and without opening a file for writing outside the folder it is given, starting a program or a connection. Inputs are
drawn by hypothesis (settings, names, metadata that are well-formed and signed) and by mutation of sound files (bytes).
Prints a line per target and every failure, and ends with 1 where there is one.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import torch
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, Phase, given, seed, settings

from squeezeproof.errors import InputError
from squeezeproof.study.errors import ConfigError

# What one input may take, the memory with everything that is loaded.
SECONDS, MEMORY = 30, 4 << 30

FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
    "pty.spawn",
    "ctypes.dlopen",
)


class Watch:
    """An audit hook (PEP 578) that records writing outside a folder, programs and connections while it is on."""

    def __init__(self, folder):
        self.folder, self.on, self.seen = str(folder), False, []
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            known = isinstance(path, str | bytes) and os.fsdecode(path).startswith((self.folder, "/dev/null"))
            if writes and not known and not isinstance(path, int):
                self.seen.append(f"opened {path!r} for writing")
        elif event in FORBIDDEN:
            self.seen.append(f"{event} {arguments!r:.100}")


def too_slow(*_):
    raise TimeoutError(f"more than {SECONDS} s")


def fuzz(name, count, start, folder, watch):
    """Run `count` inputs of a target; returns (how they ended, failures as texts)."""
    target, ends, failures = TARGETS[name][0](folder), Counter(), []

    @seed(start)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=HealthCheck
    )
    @given(target.draw())
    def run(drawn):
        watch.on, watch.seen = True, []
        signal.alarm(SECONDS)
        try:
            target.run(drawn)
            ends["accepted"] += 1
        except (ConfigError, InputError) as error:
            ends["refused" if str(error).strip() else "refused without a message"] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            ends["failed"] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            failures.append(
                f"{type(error).__name__}: {error!s:.200} ({place.filename}:{place.lineno}) <- {drawn!r:.300}"
            )
        finally:
            signal.alarm(0)
            watch.on = False
        failures.extend(f"{seen} <- {drawn!r:.300}" for seen in watch.seen)

    # hypothesis stops early where it has drawn all there is.
    while ends.total() < count:
        before = ends.total()
        run()
        start += 1
        run = seed(start)(run)
        if ends.total() == before:
            break
    return ends, failures


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, too_slow)
    total, failed = 0, 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        watch = Watch(scratch)
        for name, (_, share) in TARGETS.items():
            if options.target not in (None, name):
                continue
            count = options.inputs if options.target else max(1, round(share * options.inputs))
            folder = Path(scratch, name.replace(" ", "-"))
            folder.mkdir()
            began = time.perf_counter()
            ends, failures = fuzz(name, count, options.seed, folder, watch)
            told = ", ".join(f"{number:,} {end}" for end, number in sorted(ends.items()))
            print(f"{name}: {ends.total():,} inputs in {time.perf_counter() - began:.0f} s: {told}", flush=True)
            for failure, number in Counter(text.partition(" <- ")[0] for text in failures).most_common():
                example = next(text for text in failures if text.startswith(failure))
                print(f"  {number} x {example}", flush=True)
            total, failed = total + ends.total(), failed + len(failures) + ends["refused without a message"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{total:,} inputs, {failed} failures, peak memory {peak:.1f} GB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
