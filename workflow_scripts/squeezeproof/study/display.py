"""What a person sees while a study runs, by a hack: the study, a line per finished job, on a terminal the time left.

Snakemake's handler of the screen is exchanged; its log files under .snakemake/log keep every line of its own.
"""

import logging
import os
import re
import shutil
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, get_event, logger
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from squeezeproof.study.interrupts import SENTENCE, interrupted
from squeezeproof.study.surroundings import owner_of
from squeezeproof.study.time_left import TimeLeft, in_words

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# What Snakemake says of itself that no reader of a study acts on.
CHATTER = re.compile(
    "Building DAG of jobs|Using shell:|Provided (cores|resources):|Rules claiming more threads|"
    "(Conda environments|Singularity containers): ignored|Select jobs to execute|"
    # Of a report, a line per file and per rule.
    r"Adding \S+ \([\d.]+ \w+\)\.$|Loading (script|wrapper) code for rule|"
    # Of a job that failed, of which the line of its failure and its log tell more.
    r"RuleException:\nCalledProcessError in file .*\n.* returned non-zero exit status"
)
# A hint after a dry run: that option would keep results of other settings and of other code.
STALE = "use the command line option '--rerun-triggers mtime'"
# How Snakemake says what is said here in a sentence.
SENTENCES = {
    "Terminating processes on user request": lambda: SENTENCE,
    "Error: Directory cannot be locked": lambda: locked_sentence(Path(".snakemake/locks")),
}
SILENT = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.JOB_STARTED,
    LogEvent.PROGRESS,
    LogEvent.RESOURCES_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.SHELLCMD,
}
# Rules whose jobs make a study long, each with the word for them.
STAGES = {
    "prepare": "of data",
    "prepare_test": "of test images",
    "train": "of training",
    "compress": "of compression",
    "fit_attack": "of what attacks learn",
    "craft": "of attacks",
    "craft_shard": "of attacks in shards",
    "craft_int8": "of attacks on int8 models",
    "sweep": "of sweeps",
    "predict": "of predictions",
}
ERASE = "\r\033[K"
REFRESH = 1.0
# Bytes of a job's log that are looked at, a traceback's worth.
TAIL = 4000


def show_in_words(study: "Study", benchmarks: str, cores: int) -> None:
    """Let Snakemake's screen show this study in words, unless its user asked for more, for less or for a dry run."""
    handler = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    if isinstance(handler, Display):
        # Several studies are modules of one workflow.
        handler.studies.append(study)
        return
    settings = next((found for found in getattr(handler, "filters", []) if isinstance(found, DefaultFilter)), None)
    if handler is not None and settings is not None and settings.dryrun:
        handler.addFilter(lambda record: STALE not in str(record.msg))
    if (
        handler is None
        or settings is None
        or settings.dryrun
        or settings.verbose
        or settings.printshellcmds
        or settings.debug_dag
    ):
        return
    if set(settings.quiet) - {Quietness.HOST, Quietness.REASON}:
        handler.addFilter(lambda record: not is_chatter(record))
        return
    logger.removeHandler(handler)
    logger.addHandler(Display(handler, study, benchmarks, cores))


def locked_sentence(locks: Path) -> str:
    """Whose run has locked a working directory, since when, and what to do; `locks` is Snakemake's folder of locks."""
    with suppress(OSError):
        newest = max(locks.iterdir(), key=lambda path: path.stat().st_mtime, default=None)
        if newest is not None:
            status = newest.stat()
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.st_mtime))
            if status.st_uid == os.getuid():
                remedy = "wait for it, or, if it was killed, run `snakemake --unlock` and then the same command."
                return f"This folder cannot be locked: another run of yours has been in it since {since}; {remedy}"
            owner = owner_of(newest)
            return (
                f"This folder cannot be locked: a run of {owner} has been in it since {since}; ask {owner} whether it "
                f"is still under way. If it was killed, {owner} runs `snakemake --unlock` here. Or run in a copy of "
                f"your own."
            )
    return (
        "This folder cannot be locked: another run is under way in it, or one was killed; wait for it, or run "
        "`snakemake --unlock` and then the same command."
    )


class Display(ColorizingTextHandler):
    """Writes a study's run in words to the stream of the handler whose place it takes."""

    def __init__(self, handler: Any, study: "Study", benchmarks: str, cores: int) -> None:
        # https://no-color.org
        super().__init__(handler.nocolor or bool(os.environ.get("NO_COLOR")), handler.stream, handler.formatter)
        self.name = handler.name
        for found in handler.filters:
            self.addFilter(found)
        self.studies, self.benchmarks, self.cores = [study], benchmarks, cores
        self.running, self.done, self.total = {}, 0, 0
        self.time_left, self.started, self.ended = None, time.monotonic(), threading.Event()
        self.live = self.is_tty and os.environ.get("TERM") != "dumb"

    def emit(self, record: logging.LogRecord) -> None:
        """Write what a record has to tell, if anything, above the line that shows the state of the run."""
        # logging holds this handler's lock here, and there is no other. With a second one, which the thread that shows
        # the state anew took first, both would wait for ever.
        try:
            text = self.format(record)
            if text:
                erase = ERASE if self.live else ""
                self.stream.write(f"{erase}{self.decorate(record, text)}\n")
                self.show_state()
                self.flush()
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        event = get_event(record)
        words = {
            LogEvent.RUN_INFO: self.opening,
            LogEvent.JOB_INFO: self.start,
            LogEvent.JOB_FINISHED: self.finish,
            LogEvent.JOB_ERROR: self.fail,
        }
        if event in words:
            return words[event](record)
        said = str(record.msg)
        if sentence := next((short for long, short in SENTENCES.items() if long in said), None):
            return self.wrap(sentence(), "")
        if is_chatter(record):
            return ""
        # What Ctrl-C ended is no fault of anybody's.
        return "" if interrupted.is_set() and record.levelno >= logging.ERROR else super().format(record)

    def opening(self, record: Any) -> str:
        """The study and what will run."""
        counts = {rule: count for rule, count in record.stats.items() if rule not in ("total", "all")}
        self.total = sum(counts.values())
        self.time_left = TimeLeft(self.studies[0], self.benchmarks, counts, self.cores)
        if self.live:
            threading.Thread(target=self.refresh, daemon=True).start()
        jobs = [f"{counts[rule]} {words}" for rule, words in STAGES.items() if rule in counts]
        others = self.total - sum(counts.get(rule, 0) for rule in STAGES)
        jobs += [f"{others} of audit, tables, figures and pages"] if others else []
        questions = [f"Study {study.name}: {study.config['question']}" for study in self.studies]
        whole = f"{self.total} jobs: {', '.join(jobs)}{self.time_left.expected(self.live)}"
        lines = [*questions, whole if jobs else "Nothing to do: all is there."]
        return "\n".join(self.wrap(line, "  ") for line in lines)

    def start(self, record: Any) -> str:
        if record.rule_name != "all":
            self.running[record.jobid] = (record, time.monotonic())
        return ""

    def finish(self, record: Any) -> str:
        """One line for a job that is done."""
        if record.job_id not in self.running:
            return ""
        job, start = self.running.pop(record.job_id)
        seconds = time.monotonic() - start
        self.done += 1
        if self.time_left is not None:
            self.time_left.finish(job.rule_name, job.benchmark, seconds)
        place = f"{self.done:{len(str(self.total))}} of {self.total}  "
        return self.wrap(f"{place}{what(job)}: {in_words(seconds)}", " " * len(place))

    def fail(self, record: Any) -> str:
        """A job that failed, with its log."""
        job, _ = self.running.pop(record.jobid, (record, 0))
        if interrupted.is_set():
            return ""
        logs = {log: last_lines(log) for log in record.log}
        lines = [line for log, end in logs.items() if end for line in [f"  {log}:", *(f"    {line}" for line in end)]]
        return "\n".join([f"FAILED  {what(job)}", *lines])

    def wrap(self, line: str, indent: str) -> str:
        """A line in as many as it takes on a terminal, broken between words; the same line elsewhere."""
        if not self.live:
            return line
        width = max(shutil.get_terminal_size().columns, 20)
        if max(map(len, line.split())) > width - len(indent):
            # The name of a model, on a narrow terminal.
            indent = "  "
        return textwrap.fill(line, width, subsequent_indent=indent, break_on_hyphens=False)

    def refresh(self) -> None:
        """Show the state anew until the run ends."""
        while not self.ended.wait(REFRESH):
            self.acquire()
            try:
                self.show_state()
                self.flush()
            finally:
                self.release()

    def show_state(self) -> None:
        """The last line of a terminal: what is done, the time left, and what the job that runs longest does."""
        if not self.live or interrupted.is_set() or self.ended.is_set() or not self.total or self.done >= self.total:
            return
        left = self.time_left.after(time.monotonic() - self.started) if self.time_left is not None else None
        state = f"{self.done} of {self.total} jobs" + (f", about {in_words(left)} left" if left is not None else "")
        if self.running:
            job, _ = next(iter(self.running.values()))
            state = " | ".join(filter(None, [state, what(job), progress(job)]))
        # With room for the "^C" of who stops the run, which the next line would not erase on a line of its own.
        width = shutil.get_terminal_size().columns - len("^C")
        self.stream.write(f"{ERASE}{state[: max(width - 1, 0)]}")

    def close(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            if self.live:
                self.acquire()
                try:
                    self.stream.write(ERASE)
                finally:
                    self.release()
        super().close()


def is_chatter(record: logging.LogRecord) -> bool:
    """Whether Snakemake says something of itself."""
    event = get_event(record)
    return event in SILENT or (event in (None, LogEvent.ERROR) and CHATTER.match(str(record.msg)) is not None)


def what(job: Any) -> str:
    """What a job does, in the words of its rule."""
    return job.rule_msg or job.rule_name


def last_lines(log: str) -> list[str]:
    """The end of a job's log, without an unfinished first line; [] where there is none."""
    try:
        with open(log, "rb") as file:
            start = max(os.fstat(file.fileno()).st_size - TAIL, 0)
            file.seek(start)
            return file.read().decode(errors="replace").splitlines()[1 if start else 0 :]
    except OSError:
        return []


def progress(job: Any) -> str:
    """How far a job is, as the last line of its log says, without the time of day."""
    lines = [line for log in job.log for line in last_lines(log)]
    return lines[-1].partition(" ")[2] if lines else ""
