"""What would fail here is told before anything runs: a run is refused, a dry run and the plan say that it would be."""

import os
from typing import TYPE_CHECKING, Any

# The next modules import each other; this one has to be the first.
import snakemake.api  # noqa: F401
from snakemake import dag
from snakemake.exceptions import MissingInputException, RuleException, WorkflowError
from snakemake.logging import DefaultFilter, logger

from squeezeproof.study.errors import ConfigError
from squeezeproof.study.preflight import problems, slow_trainings, would_be_refused

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study


def refuse_what_cannot_run(study: "Study", workflow: Any) -> None:
    """Raise a WorkflowError with all that is known to make jobs fail; warn of what is known to make them slow."""
    here, stored_here = _places(workflow)
    if found := problems(study, here, stored_here):
        raise WorkflowError(str(ConfigError(found)))
    for notice in slow_trainings(study) if here else []:
        logger.warning(notice)


def refuse_touch(workflow: Any) -> None:
    """Raise a WorkflowError where `--touch` would pass files off as what other settings, inputs or code make."""
    if not workflow.touch:
        return
    stale = [path for job in workflow.dag.needrun_jobs() if _is_stale(job, workflow) for path in job.output]
    there = sorted(str(path) for path in stale if os.path.exists(path))
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise WorkflowError(
            f"--touch: {there[0]}{more}: made by other settings, inputs or code than now, and would be taken for what "
            f"these make; leave out --touch, which no copy or clone with its .snakemake needs, and they are made again"
        )


def _is_stale(job: Any, workflow: Any) -> bool:
    """Whether a job has to run for what it is made of, not only for the times of files that no run is recorded of."""
    reason, recorded = workflow.dag.reason(job), workflow.persistence.has_metadata(job)
    return recorded and bool(
        reason.params_changed or reason.code_changed or reason.input_changed or reason.updated_input
    )


def refused_later(study: "Study", workflow: Any) -> list[str]:
    """Of a dry run, what files and packages tell that would end the run before its first job, a text each."""
    filters = [one for handler in logger.handlers for one in handler.filters if isinstance(one, DefaultFilter)]
    if not any(one.dryrun for one in filters):
        return []
    return would_be_refused(problems(study, *_places(workflow), looks=False))


def name_missing_files(study: "Study", workflow: Any) -> None:
    """A hack: let Snakemake say of a file of the user's that is not there which key of the config names it.

    It looks for the files of all jobs before `refuse_what_cannot_run` does, and knows rules alone. All else that is
    known to make jobs fail is told with it.
    """

    class Missing(MissingInputException):
        def __init__(self, job: Any, files: Any, *args: Any, **options: Any) -> None:
            super().__init__(job, files, *args, **options)
            found = problems(study, *_places(workflow), looks=False)
            if any(f": {file}: " in text for text in found for file in files):
                RuleException.__init__(self, str(ConfigError(found)))

    Missing.__name__ = WorkflowError.__name__
    dag.MissingInputException = Missing  # ty: ignore[invalid-assignment]


def _places(workflow: Any) -> tuple[bool, bool]:
    """Whether jobs run on this machine, and whether what they write stays on it."""
    here = not workflow.non_local_exec and not workflow.deployment_settings.deployment_method
    return here, not workflow.storage_settings.default_storage_provider
