"""The four functions of Snakemake that are replaced."""

import threading
import time
from types import SimpleNamespace
from typing import ClassVar

import pytest
from snakemake import common, output_index, rules
from snakemake.scheduling import job_scheduler

from squeezeproof.study import scheduling

dag = scheduling.dag


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


class Rule:
    """What is asked of a rule here; Snakemake keeps rules in sets."""

    def __init__(self, **facts):
        vars(self).update(facts)


class Index(output_index.OutputIndex):
    """An index that counts its searches."""

    def __init__(self, answers):
        self.answers, self.searched = answers, []

    def match(self, targetfile):
        self.searched.append(targetfile)
        return self.answers


def test_the_rules_that_make_a_file_are_looked_for_once_an_index(monkeypatch):
    monkeypatch.setattr(output_index.OutputIndex, "match_producers", None)
    scheduling.one_search_for_a_file()
    makes_all, makes_none = (Rule(is_producer=lambda file, made=made: made) for made in (True, False))
    one, other = Index([makes_all, makes_none]), Index([])
    for _ in range(3):
        for file in ("a", "b"):
            assert one.match_producers(file) == {makes_all} and other.match_producers(file) == set()
    assert one.searched == other.searched == ["a", "b"]


def test_a_search_that_fails_fails_again():
    def refuse(file):
        raise ValueError(file)

    index = Index([Rule(is_producer=refuse)])
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            scheduling._known_rules(index, "a")


class Processor(dag.ScriptProcessor):
    def __init__(self):
        pass


@pytest.fixture
def tried(monkeypatch):
    """The jobs whose scripts Snakemake tried."""
    tried = []
    monkeypatch.setattr(scheduling, "_try_script", lambda processor, job: tried.append(job.name))
    return tried


def test_the_script_of_a_rule_is_tried_once_and_that_of_a_job_for_every_job(monkeypatch, tried):
    monkeypatch.setattr(dag.ScriptProcessor, "process_job", None)
    scheduling.one_look_at_a_script()
    plain, named = Rule(script="train.py"), Rule(script="{wildcards.name}.py")
    processor = Processor()
    for name, rule in (("plain", plain), ("named", named)):
        for number in range(3):
            processor.process_job(SimpleNamespace(name=f"{name}{number}", rule=rule))
    assert tried == ["plain0", "named0", "named1", "named2"]
    Processor().process_job(SimpleNamespace(name="of another run", rule=plain))
    assert tried[-1] == "of another run"


def test_a_script_that_cannot_be_read_is_no_script_that_was_tried(monkeypatch):
    def refuse(processor, job):
        raise OSError("no such script")

    monkeypatch.setattr(scheduling, "_try_script", refuse)
    processor, job = Processor(), SimpleNamespace(rule=Rule(script="train.py"))
    for _ in range(2):
        with pytest.raises(OSError, match="no such script"):
            scheduling._process_script(processor, job)


def test_snakemake_still_looks_for_rules_and_scripts_by_those_names():
    source = dag.__loader__.get_source(dag.__name__)
    assert "rules = self.output_index.match_producers(targetfile)" in source
    assert "class NotebookProcessor(ScriptProcessor)" in source and "super().process_job(job)" in source
    assert "self.output_index = OutputIndex(self.rules)" in source
