from typing import Any, ClassVar, Literal

from squeezeproof.entries.suites import Sequence, completed


class AutoAttack(Sequence):
    """AutoAttack, version standard: APGD-CE, APGD-T, FAB-T and Square, each on the examples still standing
    [croce2020autoattack].
    """

    display = "AutoAttack"
    least_classes = 4
    strength = 3

    standard: ClassVar[list[dict[str, Any]]] = [
        {"method": "apgd", "loss": "cross_entropy", "steps": 100, "restarts": 1},
        {"method": "apgd_t", "targets": 9, "steps": 100, "restarts": 1},
        {"method": "fab_t", "targets": 9, "steps": 100, "restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9},
        {"method": "square", "queries": 5000, "p_init": 0.8, "reference": True, "restarts": 1, "loss": "margin"},
    ]

    method: Literal["autoattack"] = "autoattack"

    @classmethod
    def parts(cls, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """See Sequence."""
        return [completed(stage) for stage in cls.standard]
