from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries import registry
from squeezeproof.entries.settings import Several, setting
from squeezeproof.entries.suites import Sequence
from squeezeproof.entries.unions import Stage


class Suite(Sequence):
    """Attacks in sequence, each on the examples that those before it left standing: cumulative robust accuracy."""

    needs = "what its stages need"
    strength = 3

    method: Literal["suite"] = "suite"
    stages: Several[Stage] = setting(
        "The attacks in order, each a method's name, or a mapping with `method` and its settings; eps, norm, "
        "stop_on_success and stored are the suite's.",
        min_length=1,
    )

    @classmethod
    def parts(cls, settings: dict) -> list[dict]:
        """See Sequence."""
        return settings["stages"]

    @classmethod
    def passes_of(cls, settings: dict) -> tuple[float, float]:
        """See Attack."""
        costs = [registry.attacks()[stage["method"]].passes_of(stage) for stage in settings["stages"]]
        return sum(forwards for forwards, _ in costs), sum(backwards for _, backwards in costs)

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        for index, stage in enumerate(self.stages):
            at = f"{path}.stages[{index}]"
            yield from stage.contradictions(at, study)
            if self.norm not in stage.norms:
                only = stage.norms[0]
                yield f"{at}: {stage.method} is for {only} alone, the suite's norm is {self.norm}; write norm: {only}"
