"""Contestants, each in a process of its own, timed in interleaved rounds.

In one process they would share what the first of them has set up: the memory of freed tensors that our jobs keep makes
every contestant faster, and page faults are part of what a library costs its users.
"""

import multiprocessing
import statistics
import time
import traceback
import warnings

import torch


class Contestant:
    """A process that builds what is to be timed and runs it whenever it is asked to.

    Args:
        build: a function of a module; called in the process with `arguments`, it returns (facts, run): what is told of
            the contestant once, and the function without arguments that is timed.
        device: `cpu` is timed in CPU seconds of the process, any other device in wall seconds.
    """

    def __init__(self, build, arguments, device):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, build, arguments, device), daemon=True)
        self.process.start()
        theirs.close()

    def wait(self):
        """What is told of the contestant once, as soon as it is built."""
        self.facts = self._answer()

    def _answer(self):
        kind, value = self.pipe.recv()
        if kind == "failed":
            raise RuntimeError(f"a contestant failed:\n{value}")
        return value

    def seconds(self):
        self.pipe.send("run")
        return self._answer()

    def end(self):
        self.pipe.send("end")
        self.process.join()


def _serve(pipe, build, arguments, device):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    # As ours: everybody multiplies in float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        facts, run = build(*arguments)
        pipe.send(("built", facts))
        while pipe.recv() == "run":
            start = clock(device)
            run()
            pipe.send(("ran", clock(device) - start))
    except Exception:
        pipe.send(("failed", traceback.format_exc()))


def clock(device):
    """CPU seconds of this process, or wall seconds once the device has done its work."""
    if torch.device(device).type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def contest(build, contestants, rounds, device="cpu", without_failed=False):
    """Time contestants in `rounds` rounds, every other one in the opposite order.

    Args:
        build: as for Contestant.
        contestants: name -> arguments of `build`; the first is the one that the others are measured by.
        without_failed: say why another than the first cannot be built, and go on without it.

    Returns: a list of rows with the contestant's name, its facts, `seconds` (median over rounds) and, of the rounds'
    ratios to the first contestant, the median, the least and the largest (`ratio`, `ratio_low`, `ratio_high`).
    """
    running = {}
    try:
        for name, arguments in contestants.items():
            running[name] = Contestant(build, arguments, device)
        for number, name in enumerate(contestants):
            try:
                running[name].wait()
            except RuntimeError as error:
                if number == 0 or not without_failed:
                    raise
                print(f"{name} is left out: {error}", flush=True)
                del running[name]
        times = {name: [] for name in running}
        for turn in range(rounds):
            for name in list(running)[:: -1 if turn % 2 else 1]:
                times[name].append(running[name].seconds())
    finally:
        for contestant in running.values():
            contestant.end()
    first = times[next(iter(times))]
    return [_row(name, running[name].facts, times[name], first) for name in running]


def _row(name, facts, seconds, first):
    ratios = [own / other for own, other in zip(seconds, first, strict=True)]
    return {
        "contestant": name,
        **facts,
        "seconds": statistics.median(seconds),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }
