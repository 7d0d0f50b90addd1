"""The rule that turns verdicts into one of four answers about a compressed model; docs/answers.md defines it.

An answer says no more than its verdicts. `keep` needs the model to be attacked itself, by an attack that follows its
gradients for several steps, and every such verdict to be `equivalent` or `more robust`, or that of a search that found
less. What transfers proves losses, never their absence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log10

from squeezeproof.analysis.ways import OF_STUDY, Ways
from squeezeproof.entries import registry
from squeezeproof.tables.words import TESTED, Verdict

KEEP, CARE, STOP, UNKNOWN = "keep", "keep with care", "do not ship", "cannot tell"
ANSWERS = (STOP, UNKNOWN, CARE, KEEP)
# How the reason of a model that is broken begins.
BROKEN = "it is broken: "
# Checks are named by what should be so.
DOUBTED = "what the audit doubts"
# What is said where no attack did anything.
UNHURT = "no attack of several steps broke an image of its base: a larger budget may tell more"
# How a warning of the audit's begins; others are on the model itself.
CHECK = "check "
# Losses of up to so many margins are for the reader to weigh: keep with care.
TOLERATED = 2
# Of the strengths that attacks declare, the first of those that take several steps, and that of suites.
ITERATED, SUITE = 2, 3
# Gradients per image below which an attack did not take several steps, whatever its name.
SEVERAL = 5
# What would lose less, where nothing is known of how a model was compressed.
MILDER = "a milder compression, or more training after it"
# What is left where nothing else would change an answer.
DESIGNED = "an attack that is designed for this very model could find a loss"


@dataclass(frozen=True)
class Loss:
    """What one comparison says of the accuracy that a compressed model lost, compressed minus base.

    Attributes:
        name: the attack in words, or the clean images.
        verdict: of the table `verdicts`; empty for clean images, on which none is passed.
        difference: compressed minus base accuracy, a share.
        low, high: its interval, corrected for the number of comparisons.
        images: how many it was measured on.
        own: whether each model was attacked itself.
        strength: of `strength_of`.
        kept: accuracy of the base on clean images, or under the attack on itself: what can be lost.
    """

    name: str
    verdict: str
    difference: float
    low: float
    high: float
    images: int = 1000
    own: bool = True
    strength: int = ITERATED
    kept: float = 1.0

    @property
    def most(self) -> float:
        """The largest loss that is not excluded: no more than the base has, as far as that is known."""
        return max(-self.difference, min(-self.low, self.kept if self.own else 1.0))

    def within(self, margin: float) -> bool:
        """Whether it was shown to be no larger than the margin."""
        small = (Verdict.EQUIVALENT, Verdict.MORE, Verdict.FOUND_LESS)
        return self.verdict in small if self.verdict else self.low >= -margin

    def bounded(self, margin: float) -> bool:
        """Whether it was shown to be no larger than what is tolerated."""
        return self.within(margin) or self.low >= -TOLERATED * margin


@dataclass(frozen=True)
class Evidence:
    """All that a study knows of a compressed model beside its base.

    Attributes:
        clean: the Loss on clean images; None where it was not measured.
        attacks: a Loss for every attack.
        broken: why the model is broken, or nothing.
        same: which model it equals bit for bit, or nothing.
        failures, warnings: the audit's, on the model and on its base.
    """

    clean: Loss | None = None
    attacks: list[Loss] = field(default_factory=list)
    broken: str = ""
    same: str = ""
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def own(self) -> list[Loss]:
        return [loss for loss in self.attacks if loss.own]

    def at_stake(self, margin: float) -> list[Loss]:
        """The attacks on the models themselves that leave the base something to lose."""
        return [loss for loss in self.own if loss.kept > margin]

    @property
    def unhurt(self) -> bool:
        """Whether the base loses nothing under any attack on it that takes several steps."""
        strong = [loss for loss in self.own if loss.strength >= ITERATED]
        return bool(strong) and self.clean is not None and min(loss.kept for loss in strong) >= self.clean.kept

    def deciding(self, margin: float) -> list[Loss]:
        """The losses that must be small for a model to be kept."""
        return [*([self.clean] if self.clean else []), *self.at_stake(margin)]


def strength_of(method: str, gradients: float = SEVERAL) -> int:
    """The declared strength of a kind of attack; ITERATED where it declares none but follows the model's gradients for
    several steps, 0 for what asks for logits or labels, is blind or fitted, or is not known.

    Args:
        gradients: that it took per image; fewer than SEVERAL are no several steps.
    """
    attack = registry.attacks().get(method)
    if attack is None or attack.fit or attack.blind:
        return 0
    strength = attack.strength
    if strength is None:
        iterated = attack.units or attack.per_unit[1] >= SEVERAL
        strength = ITERATED if attack.needs == "gradients" and iterated else 0
    return strength if gradients >= SEVERAL else min(strength, ITERATED - 1)


def answer(found: Evidence, margin: float) -> tuple[str, list[str]]:
    """(answer, reasons) on an Evidence; the reasons are clauses.

    Args:
        margin: the study's: the difference, a share, that it calls negligible.
    """
    if found.broken:
        return STOP, [f"{BROKEN}{found.broken}"]
    warned = _warned(found)
    if lost := _losses(found, margin):
        return STOP, [*lost, *warned]
    if missing := _missing(found, margin):
        return UNKNOWN, [missing]
    deciding = found.deciding(margin)
    if wide := [loss for loss in deciding if not loss.bounded(margin)]:
        return UNKNOWN, [*map(_open, wide), *warned]
    care = [*(_open(loss) for loss in deciding if not loss.within(margin)), *warned]
    said = care or [f"no loss beyond {_points(margin)} points on {listed(deciding)}"]
    return CARE if care else KEEP, [*said, *([UNHURT] if found.unhurt else [])]


def _warned(found: Evidence) -> list[str]:
    """What a reader must know of the results behind an answer, as clauses."""
    checks = [warning for warning in found.warnings if warning.startswith(CHECK)]
    said = [warning for warning in found.warnings if warning not in checks]
    said += [f"{DOUBTED}: {' and '.join(checks)}"] if checks else []
    return said + ([f"the audit refuses other results: {' and '.join(found.failures)}"] if found.failures else [])


def remedies(
    found: Evidence, margin: float, seeds: int | None, milder: str = MILDER, ways: Ways = OF_STUDY
) -> list[str]:
    """What would change the answer, as clauses: other models, images, seeds, attacks.

    Args:
        seeds: how many the verdicts are of; None for finished models, of which there are no others.
        milder: what would compress less, in the words of the model's own compression.
        ways: what the reader can do.
    """
    said, _ = answer(found, margin)
    if said == STOP and found.broken:
        return [milder]
    if said == STOP:
        return [milder, "more images cannot undo a loss that was shown"]
    if found.same or found.failures:
        return [ways.audited]
    deciding = found.deciding(margin)
    open_losses = [loss for loss in deciding if not loss.within(margin)]
    strong = [loss for loss in found.own if loss.strength >= ITERATED]
    changes = [] if found.clean else ["its accuracy on clean images and its base's, which must be evaluated, too"]
    if found.own and not found.at_stake(margin):
        changes.append("a smaller eps, or a base that resists anything")
    elif strong and not any(loss.kept > margin for loss in strong):
        changes.append("a smaller eps, at which the base resists an attack of several steps")
    elif not strong:
        changes.append(ways.follow)
    # Of images that were made for one of the two, more of them tell no more.
    unmoved = [loss for loss in open_losses if loss.verdict != Verdict.TRANSFERS_WORSE]
    if any(loss.difference < 0 for loss in open_losses if loss not in unmoved):
        changes.append("attacks on the base itself, as these images were made for the compressed model alone")
    if unmoved:
        changes.append(_images(unmoved, margin, seeds))
    if found.unhurt:
        changes.append("a larger eps, at which attacks break images of the base")
    if found.warnings:
        changes.append("what the warnings ask for")
    if said in (KEEP, CARE) and max(loss.strength for loss in found.own) < SUITE:
        changes.append("a stronger attack (AutoAttack) could find a loss")
    if seeds == 1:
        changes.append("more seeds, for other trainings of the recipe")
    return changes or [DESIGNED]


def _losses(found: Evidence, margin: float) -> list[str]:
    """Why the model must not be shipped, by what was shown: of attacks on itself and of other images the greatest loss
    each, and under how many more there was one.
    """
    lost = []
    if found.clean and found.clean.high < -margin:
        lost.append(f"it loses {_bounds(found.clean)} points on {found.clean.name}")
    for own in (True, False):
        shown = [loss for loss in found.attacks if loss.own == own and _lost(loss, margin)]
        if shown:
            most = min(shown, key=lambda loss: loss.difference)
            told = f" ({TESTED})" if most.high >= 0 else ""
            lost.append(f"it loses {_bounds(most)} points under {most.name}{told}{_beside(own, len(shown) - 1)}")
    return lost


def _beside(own: bool, more: int) -> str:
    """What a reader must know of the greatest loss under attacks on the model itself, or on others."""
    if own:
        return f", and under {more} more attack{'s' * (more > 1)} on itself" if more else ""
    others = f", and on {more} more such set{'s' * (more > 1)}" if more else ""
    return f", though these images were not made for it{others}"


def _lost(loss: Loss, margin: float) -> bool:
    """Whether a loss was shown that is more than the reader's to weigh."""
    small = loss.low >= -TOLERATED * margin and loss.high >= -margin
    return loss.verdict == Verdict.LESS and not small


def _missing(found: Evidence, margin: float) -> str:
    """Why nothing can be said in the model's favour, whatever the numbers are."""
    if found.same:
        return f"it is {found.same}"
    if found.failures:
        return f"the audit refuses results ({', '.join(found.failures)})"
    if found.clean is None:
        return "its accuracy on clean images was not compared with its base's"
    if not found.own:
        return (
            "it was not attacked itself, away from the label, and images made for other models prove nothing in its "
            "favour"
        )
    strong = [loss for loss in found.own if loss.strength >= ITERATED]
    # Where no attack leaves anything to lose, one that follows gradients would tell no more.
    if found.at_stake(margin) and not strong:
        return "no attack followed its gradients for several steps; that it resists others proves little"
    if not any(loss.kept > margin for loss in strong):
        fallen = listed(strong if found.at_stake(margin) else found.own)
        return f"its base keeps less than {_points(margin)} % under {fallen}, so there is nothing to lose"
    return ""


def _open(loss: Loss) -> str:
    lost = loss.verdict == Verdict.LESS if loss.verdict else loss.high < 0
    shown = "a loss is shown and" if lost else "no loss is shown, but"
    where = f"under {loss.name}" if loss.verdict else f"on {loss.name}"
    return f"{where} {shown} one of {_points(loss.most)} points is not excluded"


def _images(losses: Sequence[Loss], margin: float, seeds: int | None) -> str:
    """How many images would place the losses within the margin, if what was observed is the truth."""
    if seeds and seeds > 1:
        return "more seeds, and then more images"
    rooms = [max(margin - abs(loss.difference), loss.difference) for loss in losses]
    if min(rooms) <= 0:
        return "more images, which would tell how large the loss is"
    halves = [(loss.high - loss.low) / 2 for loss in losses]
    needed = [loss.images * (half / room) ** 2 for loss, half, room in zip(losses, halves, rooms, strict=True)]
    return f"about {_rounded(max(needed)):,} test images, if the differences stay as observed"


def _rounded(number: float) -> int:
    """Up to two digits."""
    unit = 10 ** max(0, int(log10(number)) - 1)
    return ceil(number / unit) * unit


def listed(losses: Sequence[Loss]) -> str:
    """The names of some losses in words."""
    # Their names have commas.
    return " and ".join(loss.name for loss in losses)


def _bounds(loss: Loss) -> str:
    """The bounds of a loss that was shown; Holm shows some that the simultaneous interval does not tell from 0."""
    least = _points(max(-loss.high, 0.0))
    return f"up to {_points(loss.most)}" if least == "0" else f"{least} to {_points(loss.most)}"


def _points(share: float) -> str:
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(100 * share, 1) + 0.0:.1f}".replace("-", "−").removesuffix(".0")
