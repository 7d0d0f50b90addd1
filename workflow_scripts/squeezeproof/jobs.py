"""What scripts do around their one library call: log, progress, errors to read; a hack: they end in `os._exit`."""

import logging
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from squeezeproof import commits
from squeezeproof.atomic import writable
from squeezeproof.errors import InputError, NotSupported, OfModel, shortage
from squeezeproof.factories import allow
from squeezeproof.markers import write_marker
from squeezeproof.places import check_places

log = logging.getLogger("squeezeproof")
# What the process of a job that went well calls before it ends.
at_end = []


@contextmanager
def job(snakemake: Any, of_one_network: bool = False) -> Generator[None]:
    """Log to the rule's log file; an InputError ends the job with its message alone, any other with its traceback.

    So does what code that is called does to the process: `sys.exit`, and another working directory. So does an input
    that was made for another place (`places`).

    What its network does not support ends a job `of_one_network` well, with a marker (`squeezeproof.markers`) in the
    place of each output. Where all went well the process of the job ends here, so that nothing may follow in its
    script.
    """
    # A full disk says so where the result is written, not once per line of a log.
    logging.raiseExceptions = False
    allow(snakemake.config["allow_factories"])
    try:
        with writable(snakemake.log[0]):
            # Messages have names of files, which need not be text.
            handler = logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8", errors="backslashreplace")
    except InputError as error:
        sys.exit(f"{snakemake.rule}: {error}")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    start, started, place = time.perf_counter(), time.process_time(), _here()
    try:
        check_places(getattr(snakemake, "input", ()), snakemake.config.get("study"))
        yield
        if (now := _here()) != place:
            os.chdir(place)
            raise InputError(f"code that it calls went to {now}, where its output is; let it go back to {place}")
        wall, work = time.perf_counter() - start, time.process_time() - started
        log.info("commit: %s", commits.own())
        log.info("done in %.1f s; CPU: %.2f s to start, %.2f s of work", wall, started, work)
    except InputError as error:
        if not (of_one_network and isinstance(error, NotSupported)):
            told = f"{_names(snakemake)}{error}" if isinstance(error, OfModel) else str(error)
            log.error("ERROR: %s", told)
            sys.exit(f"{snakemake.rule}: {told}")
        _mark(snakemake, error)
    except SystemExit as error:
        told = f"code that it calls ended it, by sys.exit({error.code!r}); let that code raise an error instead"
        log.error("ERROR: %s", told)
        sys.exit(f"{snakemake.rule}: {told}")
    except KeyboardInterrupt:
        log.error("ERROR: interrupted; the same command goes on where this one stopped")
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if lacking := shortage(error):
            what, remedy = lacking
            log.error("ERROR: out of %s: %s", what, error)
            sys.exit(f"{snakemake.rule}: out of {what} ({error}); {remedy}")
        log.exception("ERROR in rule %s", snakemake.rule)
        raise
    finally:
        log.removeHandler(handler)
        with suppress(OSError):
            handler.close()
    if getattr(sys.modules["__main__"], "snakemake", None) is snakemake:
        for call in at_end:
            call()
        # What was written is on the disk, and taking torch down in order takes longer than many a job.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)


def _here() -> str:
    """The working directory, in words where it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "a folder that is gone"


def _names(snakemake: Any) -> str:
    """What a job is of, before a message: the data set, the model, the attack, as far as its rule has them."""
    names = ", ".join(dict(snakemake.wildcards.items()).values())
    return f"{names}: " if names else ""


def _mark(snakemake: Any, error: NotSupported) -> None:
    """Write markers in the place of a job's outputs; the first in a row says on the terminal what is not supported."""
    told = error.told
    if told is None:
        names = dict(snakemake.wildcards.items())
        told = {"rule": snakemake.rule, "names": names, "reason": str(error)}
        print(f"{snakemake.rule}: {', '.join(names.values())}: not supported: {error}", file=sys.stderr)
    log.warning("not supported: %s", told["reason"])
    for path in snakemake.output:
        write_marker(path, told)


class Progress:
    """Logs `3 of 40 batches, 12 s left`, at most every `interval` seconds and at the end.

    What was `done` by an earlier job counts, and tells nothing of the time that the rest takes.
    """

    def __init__(self, total: int, unit: str, interval: float = 10.0, done: int = 0) -> None:
        self.total, self.unit, self.interval = total, unit, interval
        self.done = self.earlier = done
        self.start = self.last = time.perf_counter()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.perf_counter()
        if now - self.last >= self.interval or self.done == self.total:
            self.last = now
            left = (now - self.start) / (self.done - self.earlier) * (self.total - self.done)
            log.info("%d of %d %s, %.0f s left%s", self.done, self.total, self.unit, left, f", {note}" if note else "")
