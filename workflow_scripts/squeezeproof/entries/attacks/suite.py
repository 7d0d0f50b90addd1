from collections.abc import Iterator
from typing import Any, Literal

from pydantic import model_validator

from squeezeproof.entries.attack import few_classes
from squeezeproof.entries.attacks.autoattack import AutoAttack
from squeezeproof.entries.settings import Several, problem, setting
from squeezeproof.entries.suites import Sequence, completed
from squeezeproof.entries.unions import Stage

_APGD, _APGD_T, *_REST = AutoAttack.standard
SLOPES = ("straight-through", "identity", "smoothed")
WORST_CASE = [*({**attack, "gradient": slope} for attack in (_APGD, _APGD_T) for slope in SLOPES), *_REST]


class Suite(Sequence):
    """Attacks in sequence, each on the examples that those before it left standing: cumulative robust accuracy."""

    needs = "what its stages need"
    strength = 3

    method: Literal["suite"] = "suite"
    stages: Several[Stage] = setting(
        "The attacks in order, each a method's name, or a mapping with `method` and its settings; eps, norm, "
        "stop_on_success and stored are the suite's.",
        [],
    )
    suite: Literal["worst-case"] | None = setting(
        "Instead of `stages`. `worst-case`, for quantized models: APGD-CE and APGD-T with each `gradient`, FAB-T and "
        "Square, at AutoAttack's strength.",
        None,
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "Suite":
        if bool(self.stages) == bool(self.suite):
            given = "both are given" if self.stages else "missing"
            raise problem(f"{given}; write the attacks in order, or suite: worst-case", ".stages")
        return self

    @classmethod
    def parts(cls, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """See Sequence."""
        return settings["stages"] or [completed(stage) for stage in WORST_CASE]

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if self.suite:
            yield from few_classes(path, f"suite: {self.suite}", AutoAttack.least_classes, study)
        stages: list[Any] = list(self.stages)
        for index, stage in enumerate(stages):
            at = f"{path}.stages[{index}]"
            yield from stage.contradictions(at, study)
            if self.norm not in stage.norms:
                only = stage.norms[0]
                yield f"{at}: {stage.method} is for {only} alone, the suite's norm is {self.norm}; write norm: {only}"
