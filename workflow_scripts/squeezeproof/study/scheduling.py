"""Hacks: four functions of Snakemake are replaced, whose costs studies of thousands of jobs feel."""

import threading
from functools import cache
from typing import Any

# The next modules import each other; this one has to be the first.
import snakemake.api  # noqa: F401
from snakemake import common, dag, rules
from snakemake.output_index import OutputIndex
from snakemake.scheduling.job_scheduler import JobScheduler

_rules_that_make = OutputIndex.match_producers
_try_script = dag.ScriptProcessor.process_job


def replace_slow_functions() -> None:
    """Let Snakemake use the functions of this module in place of its own."""
    one_timer_at_a_time()
    one_look_at_a_function()
    one_search_for_a_file()
    one_look_at_a_script()


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


def one_search_for_a_file() -> None:
    """Let Snakemake look once for the rules that make a file, not once for every job that reads it.

    A model is read by hundreds of jobs, and every search compares it with patterns of all rules, for a twelfth of the
    time of a dry run (Snakemake 9.27). What is known is of one index, and an index has the same rules as long as it is.
    """
    OutputIndex.match_producers = _known_rules  # ty: ignore[invalid-assignment]


def _known_rules(index: Any, targetfile: str) -> set[Any]:
    known = index.__dict__.setdefault("known_rules", {})
    name = str(targetfile)
    if name not in known:
        known[name] = _rules_that_make(index, targetfile)
    return known[name]


def one_look_at_a_script() -> None:
    """Let Snakemake find out once a rule whether its script can be read, not once a job.

    It asks three times a job, for a seventh of the time of a dry run (Snakemake 9.27).
    """
    dag.ScriptProcessor.process_job = _process_script  # ty: ignore[invalid-assignment]


def _process_script(processor: Any, job: Any) -> None:
    # Notebooks have a processor of their own.
    tried = processor.__dict__.setdefault("tried_rules", set())
    if job.rule in tried:
        return
    _try_script(processor, job)
    # Other jobs of the rule have another script where wildcards stand in its name.
    if "{" not in str(getattr(job.rule, processor.script_type)):
        tried.add(job.rule)
