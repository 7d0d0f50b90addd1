"""The two functions of Snakemake that are replaced."""

import threading
import time
from types import SimpleNamespace
from typing import ClassVar

import pytest
from snakemake import common, rules
from snakemake.scheduling import job_scheduler

from squeezeproof.study import scheduling


def test_snakemake_still_has_the_method_that_is_replaced():
    source = job_scheduler.__loader__.get_source(job_scheduler.__name__)
    assert source.count("def _schedule_reevalutation(self, delay: int)") == 1
    assert source.count("self._schedule_reevalutation(") == 2


class Timer:
    """threading.Timer whose time comes when the test says so."""

    started: ClassVar = []

    def __init__(self, delay, release):
        self.delay, self.release = delay, release

    def start(self):
        self.started.append(self)


@pytest.fixture
def timers(monkeypatch):
    monkeypatch.setattr(Timer, "started", [])
    monkeypatch.setattr(threading, "Timer", Timer)
    return Timer.started


def test_many_passes_ask_for_one_more_and_each_of_these_for_another(timers):
    scheduler = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for passes in range(1, 4):
        for _ in range(20):
            scheduling._schedule(scheduler, 1)
        assert [timer.delay for timer in timers] == [1] * passes
        assert not scheduler._open_jobs.acquire(blocking=False)
        timers[-1].release()
        assert scheduler._open_jobs.acquire(blocking=False)


def test_delays_of_two_lengths_are_waited_for_apart(timers):
    scheduler = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for delay in (1, 2, 1, 2):
        scheduling._schedule(scheduler, delay)
    assert [timer.delay for timer in timers] == [1, 2]


def test_a_pass_that_follows_at_once_starts_the_next_timer():
    scheduler = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for _ in range(200):
        scheduling._schedule(scheduler, 0)
        assert scheduler._open_jobs.acquire(timeout=60)


def test_the_workflow_replaces_it(monkeypatch):
    monkeypatch.setattr(job_scheduler.JobScheduler, "_schedule_reevalutation", None)
    scheduling.one_timer_at_a_time()
    scheduler = job_scheduler.JobScheduler.__new__(job_scheduler.JobScheduler)
    scheduler._open_jobs = threading.Semaphore(0)
    before = time.monotonic()
    scheduler._schedule_reevalutation(0.1)
    assert scheduler._open_jobs.acquire(timeout=60) and time.monotonic() - before >= 0.1


def test_a_function_is_looked_at_once(monkeypatch):
    looked = []
    monkeypatch.setattr(common, "get_function_params", lambda function: looked.append(function) or {"wildcards": None})
    monkeypatch.setattr(rules, "get_function_params", None)
    scheduling.one_look_at_a_function()
    for module in (common, rules, common, rules):
        assert module.get_function_params(print) == {"wildcards": None}
    assert looked == [print]


def test_snakemake_still_asks_for_parameters_by_that_name():
    source = common.__loader__.get_source(common.__name__)
    assert "def get_function_params(func: Callable)" in source
    assert "func_params = get_function_params(func)" in source
    assert "func_params = get_function_params(func)" in rules.__loader__.get_source(rules.__name__)
