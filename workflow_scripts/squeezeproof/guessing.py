"""How often answers are right, beside answers that have nothing to do with the images; no torch."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

# Standard errors by which answers that know something are right more often than by chance.
ERRORS = 3.0


@dataclass(frozen=True)
class Answers:
    """What the answers of a model to some images are worth.

    Attributes:
        accuracy: share that is right.
        unrelated: share that would be right if every class were answered as often, whatever the image: the agreement
            by chance of Cohen's kappa [cohen1960]. Of one class for every image it is the accuracy.
        error: standard error of such answers' accuracy [fleiss1969].
    """

    accuracy: float
    unrelated: float
    error: float

    @property
    def beyond(self) -> float:
        """The accuracy beyond chance: highest where every answer is right, whatever the share of each class."""
        return self.accuracy - self.unrelated

    @property
    def usable(self) -> float:
        """The accuracy beyond which the answers know something.

        Of images so few that a good model might miss it by chance, it is that of unrelated answers: they tell nothing,
        and what is attacked afterwards are other images.
        """
        better = self.unrelated + ERRORS * self.error
        return better if better <= (1 + self.unrelated) / 2 else self.unrelated

    @property
    def unrelated_in_words(self) -> str:
        """What the accuracy is to be compared with, as a clause."""
        return f"answers that had nothing to do with the images would be right in {self.unrelated:.1%}"


def judged(answers: Any, labels: Any) -> Answers:
    """The Answers of a model.

    Args:
        answers, labels: integers [N], numpy or on the CPU, of at least one image.
    """
    answered, given = _counts(answers), _counts(labels)
    both = [(answered[name], given[name]) for name in answered.keys() & given.keys()]
    count, right = len(labels), int((np.asarray(answers) == np.asarray(labels)).sum())
    # In whole numbers, so that one class for every image is exactly as good as chance.
    matches = sum(one * other for one, other in both)
    spread = matches * (count**2 + matches) - count * sum(one * other * (one + other) for one, other in both)
    error = sqrt(max(spread, 0) / (count - 1)) / count**2 if count > 1 else 0.0
    return Answers(right / count, matches / count**2, error)


def _counts(classes: Any) -> dict[int, int]:
    """Class -> how often it stands in integers [N]."""
    return dict(zip(*(part.tolist() for part in np.unique(np.asarray(classes), return_counts=True)), strict=True))
