"""Hacks: two functions of Snakemake are replaced, whose costs studies of thousands of jobs feel."""

import threading
from functools import cache

from snakemake import common, rules
from snakemake.scheduling.job_scheduler import JobScheduler


def one_timer_at_a_time() -> None:
    """Let Snakemake's scheduler wait for one timer of a length at a time.

    After every pass it starts a timer that asks for another a second later, whatever asked for the pass. So every job
    that ends leaves one more timer for good, until pass follows pass and the inputs of ready jobs are looked at without
    a pause: at 350 jobs the scheduler was busy for four fifths of the time (Snakemake 9.27).
    """
    JobScheduler._schedule_reevalutation = _schedule  # ty: ignore[invalid-assignment]


def _schedule(scheduler: JobScheduler, delay: int) -> None:
    waiting = scheduler.__dict__.setdefault("waiting_timers", set())
    if delay in waiting:
        return
    waiting.add(delay)

    def release() -> None:
        # Before the pass begins, which starts the next timer.
        waiting.discard(delay)
        scheduler._open_jobs.release()

    threading.Timer(delay, release).start()


def one_look_at_a_function() -> None:
    """Let Snakemake look at the parameters of an input or params function once, not once a job.

    It asks `inspect` some twenty times a job, for a twelfth of the time of a dry run (Snakemake 9.27).
    """
    once = cache(common.get_function_params)
    # The second has it by its own name.
    for module in (common, rules):
        module.get_function_params = once  # ty: ignore[invalid-assignment]
