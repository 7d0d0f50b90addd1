from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.attack import SourceAttack
from squeezeproof.entries.settings import Positive, Real, Whole, setting


class Substitute(SourceAttack):
    """Black box: FGSM on a substitute network trained on the source's labels with Jacobian augmentation
    [papernot2017]. The first `seeds` test images belong to the attacker and are not scored.
    """

    function = "squeezeproof.attacks.substitute:substitute"
    fit = "squeezeproof.attacks.fitted:fit_substitute_attack"
    needs = "labels"
    blind = True
    per_unit = (5, 0)

    method: Literal["substitute"] = "substitute"
    seeds: Whole = setting("Test images that the attacker starts from.", 150, ge=2)
    rounds: Whole = setting("Trainings of the substitute; its images are doubled between them.", 6, ge=1, le=20)
    epochs: Whole = setting("Epochs of each training.", 10, ge=1, le=10_000)
    lam: Real = setting("Step of the augmentation along the Jacobian's sign, in pixel units.", 0.1, gt=0, le=1)
    flip_every: Whole = setting("Rounds after which the sign of the step changes.", 3, ge=1)
    hidden: Whole = setting("Units of each of the substitute's two hidden layers.", 200, ge=1, le=65_536)
    learning_rate: Positive = setting("Of Adam.", 0.001)
    batch_size: Whole = setting("Images per training step.", 128, ge=1)

    @classmethod
    def held_out(cls, settings: dict[str, Any]) -> int:
        """See Attack."""
        return settings["seeds"]

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        for name, dataset in study.datasets.items():
            test = dataset.count("test")
            if test is not None and self.seeds >= test:
                yield f"{path}.seeds: {self.seeds} leaves none of the {test} test images of datasets.{name}"
