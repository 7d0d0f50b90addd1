"""What every workflow script does around its one library call: a log, progress, and errors a person can read."""

import logging
import sys
import time
from contextlib import contextmanager

from squeezeproof.errors import InputError

log = logging.getLogger("squeezeproof")


@contextmanager
def job(snakemake):
    """Log to the rule's log file; an InputError ends the job with its message alone, any other with its traceback."""
    handler = logging.FileHandler(snakemake.log[0], mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    start = time.perf_counter()
    try:
        yield
        log.info("done in %.1f s", time.perf_counter() - start)
    except InputError as error:
        log.error("ERROR: %s", error)
        sys.exit(f"{snakemake.rule}: {error}")
    except Exception:
        log.exception("ERROR in rule %s", snakemake.rule)
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


class Progress:
    """Logs `3 of 40 batches, 12 s left`, at most every `interval` seconds and at the end."""

    def __init__(self, total, unit, interval=10.0):
        self.total, self.unit, self.interval = total, unit, interval
        self.done = 0
        self.start = self.last = time.perf_counter()

    def advance(self, count=1, note=""):
        self.done += count
        now = time.perf_counter()
        if now - self.last >= self.interval or self.done == self.total:
            self.last = now
            left = (now - self.start) / self.done * (self.total - self.done)
            log.info("%d of %d %s, %.0f s left%s", self.done, self.total, self.unit, left, f", {note}" if note else "")
