"""Controls: the base model with all the training that a compressed one got after it, and without the compression.

A fine-tuned compressed model has trained longer than its base. Its difference to the base is that of the training and
that of the compression together; the control tells them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squeezeproof.entries.compression import CONTROL, NONE
from squeezeproof.study.entities import Model
from squeezeproof.study.external import is_given
from squeezeproof.study.parts import Problems

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study


@dataclass(frozen=True)
class Schedule:
    """One fine-tuning of a control, as the compression has it.

    Attributes:
        finetuning: entry of `finetunings`.
        steps, step_epochs: of the compression; all steps but the last train for `step_epochs`.
        scratch: whether it starts from the untrained network instead of from what was trained before.
    """

    finetuning: str
    steps: int = 1
    step_epochs: int = 0
    scratch: bool = False

    @property
    def label(self) -> str:
        between = f"-after-{self.steps - 1}x{self.step_epochs}" if self.steps > 1 else ""
        return f"{self.finetuning}{between}{'-from-scratch' if self.scratch else ''}"

    @property
    def settings(self) -> dict[str, Any]:
        """Of the job that trains it, in the place of a compression's entry."""
        return {"method": CONTROL, "steps": self.steps, "step_epochs": self.step_epochs, "scratch": self.scratch}


def schedules_of(study: "Study", model: Model) -> tuple[Schedule, ...]:
    """The Schedules of a compressed Model's control, in order; none where it trained no longer than its base."""
    if model.is_base:
        return ()
    settings, parent = study.compressions[model.compression].settings, study.parent(model)
    before = schedules_of(study, parent)
    if model.finetuning == NONE:
        return before
    tuning = study.config["finetunings"][model.finetuning]
    scratch = settings.get("rewind", False) or settings.get("start") == "scratch"
    steps, step_epochs = settings.get("steps", 1), settings.get("step_epochs", 0)
    # What is trained before a return to the untrained weights is lost.
    if scratch or steps == 1 or step_epochs == 0:
        steps, step_epochs = 1, 0
    if tuning["epochs"] == 0 and steps == 1:
        return before
    if scratch:
        # The base is such a training itself where it was trained alike.
        alike = tuning == study.config["trainings"][model.training]
        return () if alike else (Schedule(model.finetuning, scratch=True),)
    return (*before, Schedule(model.finetuning, steps, step_epochs))


def control_of(study: "Study", model: Model) -> tuple[Model, tuple[Schedule, ...]]:
    """(control Model, its Schedules) of a compressed Model; the base and none where it trained no longer."""
    schedules = schedules_of(study, model)
    return with_schedules(model.base, schedules), schedules


def with_schedules(base: Model, schedules: Sequence[Schedule]) -> Model:
    """The Model of a base that was trained on by Schedules."""
    return replace(base, finetuning="-then-".join(schedule.label for schedule in schedules) or NONE)


def expand_controls(study: "Study", problems: Problems) -> tuple[dict[Model, tuple[Schedule, ...]], dict[Model, Model]]:
    """Model -> Schedules of every control that a compressed target of the study needs, with those that it starts from;
    and compressed Model -> its control, of those that the study compressed.

    Args:
        study: the Study, whose models and pairs are known.
        problems: what is wrong is appended here.
    """
    controls, references = {}, {}
    for dataset, target, _ in study.pairs:
        model = study.models[dataset, target]
        # What a model of the user's went through beside its compression is not known.
        if model.is_base or model in references or is_given(study.compressions[model.compression]):
            continue
        references[model], schedules = control_of(study, model)
        for count in range(1, len(schedules) + 1):
            controls[with_schedules(model.base, schedules[:count])] = schedules[:count]
    for label in {control.finetuning for control in controls if controls[control] != (Schedule(control.finetuning),)}:
        if label in study.config["finetunings"]:
            problems.of("variants").append(
                f"finetunings.{label}: is the name of a control of the study; choose another"
            )
    return controls, references


def control_pairs(
    pairs: Mapping[tuple[str, str, str], Sequence[str]],
    models: Mapping[tuple[str, str], Model],
    references: Mapping[Model, Model],
) -> dict[tuple[str, str, str], list[str]]:
    """(data set, target, source) -> attacks of the controls, each scored as the compressed models it is a control of.

    A control is attacked itself where such a model is; else it meets the images of the same source.
    """
    found = {}
    for (dataset, target, source), attacks in pairs.items():
        control = references.get(models[dataset, target])
        if control is None or control.is_base:
            continue
        key = (dataset, control.name, control.name if source == target else source)
        known = found.setdefault(key, [])
        known.extend(attack for attack in attacks if attack not in known)
    return found
