"""What a person sees while a study runs, on a terminal and through a pipe, and the time that is left."""

import io
import logging
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import snakemake
from conftest import TINY
from snakemake.exceptions import LockException
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter, logger
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from squeezeproof.audit.findings import judge, write_findings
from squeezeproof.study import display
from squeezeproof.study.closing import closing
from squeezeproof.study.estimate import attack_passes, defaults, image_counts
from squeezeproof.study.paths import Paths
from squeezeproof.study.plan import Study
from squeezeproof.study.time_left import TimeLeft, in_words

BASE = "cnn8.standard.none.none.s0"
PRUNED = "cnn8.standard.weight-50.standard.s0"
COUNTS = {"prepare": 1, "train": 1, "compress": 3, "craft": 2, "write_tables": 1}


@pytest.fixture(scope="module")
def study():
    return Study(TINY)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def default_handler(stream, quiet=(), **wanted):
    settings = {"debug_dag": False, "verbose": False, "dryrun": False, "printshellcmds": False} | wanted
    formatter, chosen = DefaultFormatter(set(quiet)), DefaultFilter(set(quiet), **settings)
    handler = ColorizingTextHandler(nocolor=True, stream=stream, formatter=formatter, filter=chosen)
    handler.name = "DefaultStreamHandler"
    return handler


class Screen:
    """A Display of the tiny study on some stream, and the events of a run."""

    def __init__(self, study, stream, folder):
        self.folder = folder
        self.handler = display.Display(default_handler(stream), study, folder / "benchmarks", 1)
        self.stream = stream

    def tell(self, text, event=None, level=logging.INFO, **values):
        record = logging.LogRecord("snakemake", level, "", 0, text, (), None)
        vars(record).update(values, event=event)
        if self.handler.filter(record):
            self.handler.handle(record)

    def open(self, **counts):
        self.tell("Job stats: ...", LogEvent.RUN_INFO, stats={"all": 1, "total": 9, **(counts or COUNTS)})

    def begin(self, jobid, rule, message, name=""):
        values = {"jobid": jobid, "rule_name": rule, "rule_msg": message, "log": [str(self.folder / f"{jobid}.log")]}
        self.tell("", LogEvent.JOB_INFO, benchmark=str(self.folder / "benchmarks" / name), local=False, **values)

    def end(self, jobid):
        self.tell(f"Finished jobid: {jobid}", LogEvent.JOB_FINISHED, job_id=jobid)

    def fail(self, jobid):
        job, _ = self.handler.running[jobid]
        values = {key: getattr(job, key) for key in ("jobid", "rule_name", "rule_msg", "log")}
        self.tell("Error in rule", LogEvent.JOB_ERROR, logging.ERROR, **values)

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


@pytest.fixture
def pipe(study, tmp_path):
    return Screen(study, io.StringIO(), tmp_path)


@pytest.fixture
def terminal(study, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    screen = Screen(study, Terminal(), tmp_path)
    yield screen
    screen.handler.close()


def test_a_run_tells_what_the_study_is_and_each_job_in_a_line(pipe):
    pipe.open()
    pipe.begin(1, "prepare", "Preparing the data set digits")
    pipe.end(1)
    pipe.begin(2, "train", f"Training {BASE} on digits")
    pipe.end(2)
    question, jobs, *lines = pipe.lines
    assert question == f"Study tiny: {Study(TINY).config['question']}"
    assert jobs.startswith("8 jobs: 1 of data, 1 of training, 3 of compression, 2 of attacks, 1 of audit")
    assert lines == ["1 of 8  Preparing the data set digits: 0 s", f"2 of 8  Training {BASE} on digits: 0 s"]


def test_a_run_without_jobs_says_that_there_is_nothing_to_do(pipe):
    pipe.tell("Job stats: ...", LogEvent.RUN_INFO, stats={"all": 1, "total": 1})
    assert pipe.lines[1:] == ["Nothing to do: all is there."]


def test_the_opening_of_a_first_run_has_a_guess_on_a_terminal_alone(terminal, pipe):
    for screen in (terminal, pipe):
        screen.open()
    said = " ".join(terminal.stream.getvalue().replace("\n", " ").split())
    assert ", about 2 s as a guess: nothing ran here before" in said
    assert "guess" not in pipe.stream.getvalue()


def test_what_snakemake_says_of_itself_is_not_shown(pipe):
    for text in (
        "Building DAG of jobs...",
        "Using shell: /usr/bin/bash",
        "Select jobs to execute...",
        "Provided cores: 2",
        "Adding verdicts.csv (128.83 KB).",
        "Adding unsupported.csv (83 bytes).",
        "Loading script code for rule craft",
    ):
        pipe.tell(text)
    for event in display.SILENT:
        pipe.tell("Execute 2 jobs...", event, cmd="x", done=1, total=2)
    assert pipe.lines == []


def test_warnings_errors_and_what_is_not_known_are_shown(pipe):
    pipe.tell("Nothing to be done (all requested files are present and up to date).")
    pipe.tell("Report created.")
    pipe.tell("a key is not what it seems", level=logging.WARNING)
    pipe.tell("WorkflowError:\nno space", level=logging.ERROR)
    assert [line.split()[0] for line in pipe.lines] == ["Nothing", "Report", "a", "WorkflowError:", "no"]


def test_a_failed_job_tells_which_and_the_end_of_its_log_once(pipe, tmp_path):
    pipe.open()
    pipe.begin(3, "craft", f"Crafting fgsm on {BASE} (digits)")
    log = tmp_path / "3.log"
    log.write_text("".join(f"line {number}\n" for number in range(2000)) + "ERROR: no such thing\n")
    ended = (
        "RuleException:\nCalledProcessError in file \"a.smk\", line 1:\nCommand 'x' returned non-zero exit status 1."
    )
    pipe.tell(ended, LogEvent.ERROR, logging.ERROR)
    pipe.fail(3)
    failed, place, *lines = pipe.lines[2:]
    assert (failed, place) == (f"FAILED  Crafting fgsm on {BASE} (digits)", f"  {log}:")
    assert lines[-1] == "    ERROR: no such thing" and len(lines) < 500
    assert all(line.startswith("    line ") for line in lines[:-1])


def test_a_job_that_a_signal_ended_tells_the_signal(pipe):
    pipe.open()
    pipe.begin(3, "craft", "Crafting")
    ended = "RuleException:\nCalledProcessError in file \"a.smk\", line 1:\nCommand 'x' died with <Signals.SIGKILL: 9>."
    pipe.tell(ended, LogEvent.ERROR, logging.ERROR)
    pipe.fail(3)
    assert "SIGKILL" in pipe.stream.getvalue() and pipe.lines[-1] == "FAILED  Crafting"


def test_a_pipe_gets_no_line_that_is_overwritten(pipe):
    pipe.open()
    pipe.begin(1, "train", "Training")
    pipe.end(1)
    pipe.handler.close()
    assert "\r" not in pipe.stream.getvalue() and "\033" not in pipe.stream.getvalue()


def test_long_lines_are_broken_between_words_on_a_terminal_alone(terminal, pipe):
    what = f"Scoring {PRUNED} on the sets of {BASE} and on those of many others (digits)"
    for screen in (terminal, pipe):
        screen.open()
        screen.begin(1, "predict", what)
        screen.end(1)
    [first, second] = [line.rpartition(display.ERASE)[2] for line in terminal.stream.getvalue().split("\n")[-3:-1]]
    assert first.startswith("1 of 8  Scoring") and second.startswith("        ") and len(first) <= 100
    assert f"{first} {second.strip()}" == f"1 of 8  {what}: 0 s" == pipe.lines[-1]


@pytest.mark.parametrize("columns", [1, 10, 30, 40, 60])
def test_no_line_is_wider_than_the_terminal_whatever_the_names(terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    what = f"Compressing to {PRUNED} on digits"
    terminal.open()
    terminal.begin(1, "compress", what)
    terminal.end(1)
    lines = [line.rpartition(display.ERASE)[2] for line in terminal.stream.getvalue().split("\n")]
    assert max(map(len, lines)) <= max(columns, 20)
    # A name that fits into a line is not broken.
    assert columns < 40 or [line for line in lines if PRUNED in line]


@pytest.fixture
def stopped():
    display.interrupted.set()
    yield
    display.interrupted.clear()


def test_a_run_that_ctrl_c_ended_says_so_in_a_sentence_and_blames_no_job(pipe, stopped):
    pipe.open()
    opening = len(pipe.lines)
    pipe.begin(1, "train", f"Training {BASE} on digits")
    pipe.tell("Terminating processes on user request, this might take some time.")
    pipe.tell("RuleException:\nCalledProcessError in file x\ndied with <Signals.SIGINT: 2>.", level=logging.ERROR)
    pipe.fail(1)
    pipe.tell("WorkflowError:\nAt least one job did not complete successfully.", level=logging.ERROR)
    assert pipe.lines[opening:] == [display.SENTENCE]


def test_a_folder_in_use_is_told_in_a_sentence(pipe):
    pipe.tell(f"LockException:\n{LockException()}", level=logging.ERROR)
    [line] = pipe.lines
    assert line.startswith("This folder cannot be locked") and "--unlock" in line


def test_who_holds_the_lock_since_when_and_what_to_do_is_told(tmp_path, monkeypatch):
    old, new = tmp_path / "0.input.lock", tmp_path / "0.output.lock"
    for path, moment in ((old, "2026-01-02 03:04"), (new, "2026-01-02 03:05")):
        path.touch()
        os.utime(path, (time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M")),) * 2)
    own = display.locked_sentence(tmp_path)
    assert "another run of yours has been in it since 2026-01-02 03:05" in own and "snakemake --unlock" in own
    monkeypatch.setattr(display, "owner_of", lambda path: "ada")
    monkeypatch.setattr(display.os, "getuid", lambda: new.stat().st_uid + 1)
    other = display.locked_sentence(tmp_path)
    assert "a run of ada has been in it since 2026-01-02 03:05; ask ada" in other and "copy of your own" in other


@pytest.mark.parametrize("locks", ["missing", "empty"])
def test_a_lock_that_is_gone_meanwhile_is_told_without_an_owner(tmp_path, locks):
    (tmp_path / "empty").mkdir()
    assert "another run is under way in it" in display.locked_sentence(tmp_path / locks)


def test_a_terminal_shows_how_far_the_run_and_its_longest_job_are(terminal, tmp_path):
    terminal.open()
    (tmp_path / "1.log").write_text("12:00:01 3 of 6 epochs, 20 s left\n")
    terminal.begin(1, "train", f"Training {BASE} on digits")
    terminal.handler.show_state()
    state = terminal.stream.getvalue().rpartition(display.ERASE)[2]
    assert state == f"0 of 8 jobs | Training {BASE} on digits | 3 of 6 epochs, 20 s left"
    terminal.end(1)
    finished, state = terminal.stream.getvalue().split(display.ERASE)[-2:]
    assert finished == f"1 of 8  Training {BASE} on digits: 0 s\n"
    assert state.startswith("1 of 8 jobs")


def test_the_state_fits_into_the_terminal_and_leaves_it(terminal):
    terminal.open()
    terminal.begin(1, "train", "Training " + "x" * 500)
    terminal.handler.show_state()
    # Two columns are left for "^C", and one for the cursor.
    assert len(terminal.stream.getvalue().rpartition(display.ERASE)[2]) == 97
    terminal.handler.close()
    assert terminal.stream.getvalue().endswith(display.ERASE)


@pytest.mark.parametrize(("said", "colored"), [("", True), ("1", False)])
def test_lines_have_colours_on_a_terminal_whose_user_does_not_refuse_them(study, tmp_path, monkeypatch, said, colored):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", said)
    handler = default_handler(Terminal())
    handler.nocolor = False
    shown = display.Display(handler, study, tmp_path / "benchmarks", 1)
    record = logging.LogRecord("snakemake", logging.WARNING, "", 0, "a warning", (), None)
    shown.handle(record)
    assert ("\033[33m" in shown.stream.getvalue()) is colored


class ImpatientLock:
    """A lock as handlers have it; who waits for it for a second raises an error instead of waiting on."""

    def __init__(self):
        self.lock = threading.RLock()
        self.release = self.lock.release

    def acquire(self):
        if not self.lock.acquire(timeout=1):
            raise TimeoutError

    def __enter__(self):
        self.acquire()

    def __exit__(self, *error):
        self.release()


def test_a_job_that_ends_while_the_state_is_shown_anew_does_not_stop_the_run(terminal, monkeypatch):
    showing = threading.Event()

    def show_slowly():
        showing.set()
        time.sleep(0.2)

    terminal.handler.lock = ImpatientLock()
    monkeypatch.setattr(display, "REFRESH", 0.05)
    monkeypatch.setattr(terminal.handler, "show_state", show_slowly)
    with ThreadPoolExecutor() as pool:
        refreshing = pool.submit(terminal.handler.refresh)
        showing.wait()
        terminal.tell("a job has ended")
        terminal.handler.ended.set()
        refreshing.result()
    assert "a job has ended\n" in terminal.stream.getvalue()


@pytest.mark.parametrize(
    "wanted, shown",
    [
        ({}, True),
        ({"quiet": {Quietness.HOST}}, True),
        ({"quiet": {Quietness.ALL}}, False),
        ({"quiet": {Quietness.RULES}}, False),
        ({"dryrun": True}, False),
        ({"verbose": True}, False),
        ({"printshellcmds": True}, False),
    ],
)
def test_who_asks_snakemake_for_more_or_less_gets_that(study, tmp_path, monkeypatch, wanted, shown):
    handler = default_handler(io.StringIO(), **wanted)
    monkeypatch.setattr(logger, "handlers", [handler])
    display.show_in_words(study, tmp_path, 2)
    assert isinstance(logger.handlers[0], display.Display) is shown
    assert len(logger.handlers) == 1


def test_who_asks_for_less_is_told_nothing_of_snakemake_itself(study, tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(logger, "handlers", [default_handler(stream, {Quietness.PROGRESS, Quietness.RULES})])
    display.show_in_words(study, tmp_path, 2)
    [handler] = logger.handlers
    for text, event in (
        ("SNAKEMAKE", LogEvent.WORKFLOW_STARTED),
        ("Building DAG of jobs...", None),
        ("Select jobs to execute...", None),
        ("Execute 1 jobs...", LogEvent.JOB_STARTED),
        ("Read first: story.html", None),
    ):
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, text, (), None)
        record.event = event
        if handler.filter(record):
            handler.handle(record)
    assert stream.getvalue() == "Read first: story.html\n"


def test_a_dry_run_does_not_advise_to_go_by_times(study, tmp_path, monkeypatch):
    """That would keep results of other settings and of other code."""
    # As Snakemake spells it now.
    spelled = re.sub(r'"\s+"', "", Path(snakemake.__file__).with_name("workflow.py").read_text())
    [hint] = re.findall(r'"(Some jobs were triggered by .*?)"', spelled)
    stream = io.StringIO()
    monkeypatch.setattr(logger, "handlers", [default_handler(stream, dryrun=True)])
    display.show_in_words(study, tmp_path, 2)
    [handler] = logger.handlers
    for text in (hint, "Rules with provenance triggered jobs: craft"):
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, text, (), None)
        record.event = None
        if handler.filter(record):
            handler.handle(record)
    assert stream.getvalue() == "Rules with provenance triggered jobs: craft\n"


def test_two_studies_of_one_workflow_are_both_named(study, tmp_path, monkeypatch):
    monkeypatch.setattr(logger, "handlers", [default_handler(io.StringIO())])
    for name in ("tiny", "second"):
        display.show_in_words(Study({**TINY, "study": name}), tmp_path, 2)
    [handler] = logger.handlers
    assert [line.split(":")[0] for line in handler.opening(record_of(COUNTS)).splitlines()][:2] == [
        "Study tiny",
        "Study second",
    ]


def record_of(counts):
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", (), None)
    record.stats = counts
    return record


def test_another_logger_of_the_users_is_left_alone(study, tmp_path, monkeypatch):
    other = logging.NullHandler()
    monkeypatch.setattr(logger, "handlers", [other])
    display.show_in_words(study, tmp_path, 2)
    assert logger.handlers == [other]


# --- The end


def test_the_end_names_only_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("tiny")
    assert closing(paths) == []
    Path(paths.table("verdicts")).parent.mkdir(parents=True)
    said = "these models,do not ship\ntrainings,cannot tell\nthese models,keep\n"
    Path(paths.table("answers")).write_text(f"about,answer\n{said}")
    verdicts = ["less robust,base,filter", "no difference shown,base,weight", "less robust,base,weight"]
    others = ["more robust,control,filter", "more robust,base,control"]
    rows = [f"{row},these models" for row in (*verdicts, *others)] + [f"{row},trainings" for row in verdicts]
    Path(paths.table("verdicts")).write_text("\n".join(["verdict,against,compression,about", *rows]) + "\n")
    (Path(paths.results) / "story.html").touch()
    assert closing(paths) == [
        "Compressed models: 1 do not ship, 1 keep.",
        "Beside their bases, attack by attack: 2 less robust, 1 no difference shown.",
        "Read first: results/tiny/story.html",
        "Tables: results/tiny/tables",
    ]


def test_the_end_tells_of_what_the_audit_warns_and_where_to_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("tiny")
    key = "digits", "a", "a", "pgd"

    def end(*findings):
        write_findings(paths.table("audit"), findings)
        return [line for line in closing(paths) if "audit warns" in line]

    Path(paths.table("audit")).parent.mkdir(parents=True)
    assert end(judge(key, 14, 0, 0, "")) == []
    two = [judge(key, check, 1, 0, "it") for check in (14, 17)]
    more = [judge((*key[:3], "fgsm"), 14, 1, 0, "it"), judge(key, 1, 1, 0, "a failure")]
    assert end(two[0]) == ["The audit warns of 1 cell (check 14); see results/tiny/tables/audit.csv."]
    (Path(paths.results) / "story.html").touch()
    assert end(*two, *more) == ["The audit warns of 2 cells (checks 14, 17); see Audit in results/tiny/story.html."]


# --- Time left


def test_nobody_knows_before_a_network_ran(study, tmp_path):
    left = TimeLeft(study, tmp_path, COUNTS)
    assert left.after(0) is None
    left.finish("prepare", None, 2)
    assert left.after(2) is None


def test_a_guess_goes_by_the_pixels_and_the_width_of_networks_that_it_knows(study, tmp_path):
    counts = {"prepare": 1, "craft": 2}
    startup = defaults()["startup"]
    passes = sum(sum(attack_passes(study.attacks[name].settings)) for name in ("fgsm-eps0.1", "pgd-eps0.1"))
    images = study.datasets["digits"]
    width = study.architecture_settings("cnn8")["width"]
    second = defaults()["pass_of_pixel"]["cnn8"] * (images.size * width) ** 2
    expected = startup["other"] + 2 * startup["torch"] + passes * image_counts(study)["digits"][2] * second
    assert TimeLeft(study, tmp_path, counts).guess() == pytest.approx(expected)
    assert TimeLeft(study, tmp_path, counts, cores=4).guess() == pytest.approx(expected / 4)
    unknown = Study({**TINY, "architectures": {"cnn8": {"kind": "resnet18", "width": 8}}})
    other_device = Study({**TINY, "compute": {**TINY.get("compute", {}), "device": "cuda"}})
    for guessed in (unknown, other_device):
        assert TimeLeft(guessed, tmp_path, counts).guess() is None
    # Of the same rules in a module.
    assert TimeLeft(study, tmp_path, {"sp_craft": 2}).guess() is None


def test_open_jobs_take_what_finished_ones_of_their_kind_took_per_pass(study, tmp_path):
    left = TimeLeft(study, tmp_path, {"craft": 2})
    fgsm, pgd = (sum(attack_passes(study.attacks[name].settings)) for name in ("fgsm-eps0.1", "pgd-eps0.1"))
    left.finish("craft", str(tmp_path / f"craft/digits/{BASE}/fgsm-eps0.1.tsv"), 10)
    assert left.after(10) == pytest.approx(10 * pgd / fgsm)
    left.finish("craft", str(tmp_path / f"craft/digits/{BASE}/pgd-eps0.1.tsv"), 10 * pgd / fgsm)
    assert left.after(10) == 0


def test_jobs_side_by_side_take_a_share_of_the_time(study, tmp_path):
    left = TimeLeft(study, tmp_path, {"write_tables": 4})
    left.finish("write_tables", None, 6)
    left.finish("write_tables", None, 6)
    assert left.after(12) == pytest.approx(12)
    assert left.after(6) == pytest.approx(6)


def test_a_run_of_some_of_the_files_is_a_share_of_the_plan(study, tmp_path):
    whole, some = (
        TimeLeft(study, tmp_path, {"craft": 1, "compress": 3}),
        TimeLeft(study, tmp_path, {"craft": 1, "compress": 1}),
    )
    for left in (whole, some):
        left.finish("craft", str(tmp_path / f"craft/digits/{BASE}/fgsm-eps0.1.tsv"), 10)
    assert some.after(10) == pytest.approx(whole.after(10) / 3)


def test_before_the_first_job_those_of_earlier_runs_tell(study, tmp_path):
    fgsm, pgd = (sum(attack_passes(study.attacks[name].settings)) for name in ("fgsm-eps0.1", "pgd-eps0.1"))
    for name, seconds in (("fgsm-eps0.1", 7), ("pgd-eps0.1", 7 * pgd / fgsm)):
        path = tmp_path / f"craft/digits/{BASE}/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n1\t1\n{seconds}\t1\n")
    whole = 7 * (1 + pgd / fgsm)
    assert TimeLeft(study, tmp_path, {"craft": 2}).after(0) == pytest.approx(whole)
    assert TimeLeft(study, tmp_path, {"craft": 2}, cores=2).after(0) == pytest.approx(whole / 2)
    # A job of this run counts alone.
    left = TimeLeft(study, tmp_path, {"craft": 2}, cores=2)
    left.finish("craft", str(tmp_path / f"craft/digits/{BASE}/fgsm-eps0.1.tsv"), 3)
    assert left.after(3) == pytest.approx(3 * pgd / fgsm)


def test_rules_that_are_named_otherwise_in_a_module_count_by_their_number(study, tmp_path):
    left = TimeLeft(study, tmp_path, {"sp_train": 1, "sp_craft": 2})
    left.finish("sp_craft", str(tmp_path / "elsewhere.tsv"), 8)
    assert left.after(8) == pytest.approx(8 + defaults()["startup"]["other"])


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (99, "99 s"), (119, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_in_words(seconds, text):
    assert in_words(seconds) == text
