"""What an attack declares, and the settings that several attacks have."""

from collections.abc import Iterator, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import Positive, Real, Whole, problem, setting
from squeezeproof.norms import Norm

# The settings of an entry that the stages of a suite share.
SHARED = ("eps", "norm", "stop_on_success", "stored", "targeted")
# Of those, what a stage's function is not told.
UNTOLD = ("stored", "targeted")
# What `targeted` may say beside the name of a class.
DRAWN_TARGETS = ("least-likely", "random", "next")
# The loss dlr divides by the distance of the highest logit to the third; towards a target, to the mean of 3rd and 4th.
DLR_CLASSES, TARGETED_DLR_CLASSES = 3, 4

Loss = Annotated[
    Literal["cross_entropy", "rounded_cross_entropy", "dlr", "margin"],
    Field(
        description="Loss that is raised: cross-entropy, difference of logits ratio [croce2020autoattack] (at least 3 "
        "classes) or margin (highest other logit minus the label's) [carlini2017]. `rounded_cross_entropy` is the "
        "cross-entropy as papers and libraries compute it, for numbers beside theirs: where the model is confident, "
        "rounding turns its gradient or takes it away, and the attack is weaker."
    ),
]
Steps = Annotated[Whole, Field(description="Gradient steps.", ge=1, le=100_000)]
StepsOfRuns = Annotated[Whole, Field(description="Gradient steps of each run.", ge=1, le=100_000)]
Restarts = Annotated[
    Whole, Field(description="Independent runs; the strongest point of all is returned.", ge=1, le=1000)
]
Alpha = Annotated[
    Positive | None,
    Field(description="Step size in pixel units; null means 2.5 eps / steps [madry2018]."),
]
Keep = Annotated[
    Literal["best", "last"],
    Field(
        description="`best` returns the iterate that fools the source with the highest loss (the highest loss where "
        "none fools it); `last` returns the last iterate."
    ),
]
Targets = Annotated[
    Whole,
    Field(
        description="How many of the highest other classes are attacked in turn, at most all of them.", ge=1, le=10_000
    ),
]
Overshoot = Annotated[
    Real,
    Field(description="The perturbation is lengthened by this fraction to cross the boundary.", ge=0, le=10),
]
Candidates = Annotated[
    Whole,
    Field(description="Classes considered, the label's and those of the highest other logits.", ge=2, le=10_000),
]
MomentumAlpha = Annotated[Positive | None, Field(description="Step size in pixel units; null means eps / steps.")]
Decay = Annotated[Real, Field(description="Decay of the running sum of gradients.", ge=0)]
AlphaMax = Annotated[
    Real, Field(description="Largest share of the step that leads back to the clean image.", ge=0, le=1)
]
Eta = Annotated[Real, Field(description="Overshoot of the step onto the decision boundary.", ge=1, le=10)]
Beta = Annotated[
    Real,
    Field(
        description="Share of the perturbation that is kept when a point that fools is pulled back to the clean image.",
        gt=0,
        lt=1,
    ),
]


class Attack(Entry):
    """An attack in its own settings, as a stage of a suite has them; `with_budget` adds what every entry has.

    Called as function(model, inputs, labels, *, seed, indices, eps, norm, stop_on_success, **settings); see
    attacks/pgd.py. `fit`, if any, is called first, as those of attacks/fitted.py are.

    Attributes:
        needs: what it asks of the model: `gradients`, `logits`, `labels` or `nothing`.
        norms: of the ball, the default first.
        minimum_norm: whether it looks for the nearest point, and a ball may be left out.
        own_budget: whether a setting of its own is its budget, and a ball may be left out.
        is_sequence: whether it is other attacks, one after the other.
        least_classes: of a data set that it can attack.
        strength: its place among attacks that the audit holds to an order, None for no place.
        draws_by_batch: whether what it does to an example may depend on the others of its batch.
        probed: whether it is PGD in its own settings, which the audit runs again (audit/probe.py).
        takes_target: whether it can be told what class to reach (`goal` of attacks/objective.py).
        targeted_alone: whether it must be told.
        blind: whether it looks at neither gradient nor logits of the source at the example.
        fit: what learns from images before any is attacked; `trains_on_images` if those are the training images.
        units, per_unit: the settings that its cost is proportional to, and forward and backward passes per example
            and unit (an upper bound where an attack stops at its first success); without units, of the whole attack.
    """

    title: ClassVar[str] = "Attacks"
    about: ClassVar[str] = (
        "On pixels in [0, 1], away from the true label unless `targeted` says what class to reach. Each entry is "
        "crafted at every eps of its list. Attacks in a ball return the strongest point found for every example; "
        "minimum-norm attacks, whose `eps` may be left out, a point just beyond the decision boundary. Projections "
        "onto the ball and the box are in float32."
    )
    key: ClassVar[str] = "method"
    needs: ClassVar[str] = "gradients"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    minimum_norm: ClassVar[bool] = False
    own_budget: ClassVar[bool] = False
    is_sequence: ClassVar[bool] = False
    least_classes: ClassVar[int] = 2
    strength: ClassVar[int | None] = None
    draws_by_batch: ClassVar[bool] = False
    probed: ClassVar[bool] = False
    takes_target: ClassVar[bool] = False
    targeted_alone: ClassVar[bool] = False
    blind: ClassVar[bool] = False
    fit: ClassVar[str] = ""
    trains_on_images: ClassVar[bool] = False
    units: ClassVar[tuple[str, ...]] = ()
    per_unit: ClassVar[tuple[float, float]] = (0, 0)

    method: str
    if TYPE_CHECKING:
        # What `with_budget` adds.
        eps: list[Any]
        norm: str

    @model_validator(mode="before")
    @classmethod
    def _takes_no_target(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("targeted") is not None and "targeted" not in cls.model_fields:
            who = "a stage of a suite" if cls.takes_target else cls.label()
            raise problem(f"{who} takes no target; leave it out, or name an attack that does, such as pgd", ".targeted")
        if cls.targeted_alone and "targeted" not in cls.model_fields:
            raise problem(
                f"{cls.label()} needs a target, and a stage of a suite takes none; give it an entry of its own"
            )
        return value

    @classmethod
    def may_be_stage(cls) -> bool:
        """Whether a suite may run it: it learns nothing, and is no suite."""
        return bool(cls.function) and not cls.fit

    @classmethod
    def follows(cls) -> str:
        """What leads it to its examples: `gradients`, `logits` or `labels`; empty for noise, a control, which may look
        at logits to keep the strongest of its points, and follows nothing.
        """
        if cls.is_sequence:
            # Stages differ from entry to entry, and may follow gradients.
            return "gradients"
        is_noise = cls.needs == "nothing" or (cls.blind and cls.needs == "logits")
        return "" if is_noise else cls.needs

    @classmethod
    def never_helps(cls, settings: Any) -> bool:
        """Whether with these settings it makes no image easier for its source, as it looks for what fools it: noise
        may, and so may an attack of hardly any queries.
        """
        return not cls.blind

    @classmethod
    def passes_of(cls, settings: dict[str, Any], withstand: float = 1) -> tuple[float, float]:
        """(forward, backward) passes per example of an attack with these settings.

        Where an example ends as it falls, those that `withstand`, a share, are counted; of all it is an upper bound.
        """
        units = prod(settings[unit] for unit in (*cls.units, "expectation") if settings.get(unit))
        share = withstand if settings.get("stop_on_success") else 1
        return share * units * cls.per_unit[0], share * units * cls.per_unit[1]

    @classmethod
    def parts(cls, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """The attacks that an entry with these settings runs one after the other; most entries are their only one."""
        return [settings]

    @classmethod
    def sequence(cls, settings: Any) -> list[Any]:
        """The same as complete settings, with those that all of them share."""
        shared = {key: settings[key] for key in SHARED if key in settings}
        return [
            {key: value for key, value in {**part, **shared}.items() if key not in UNTOLD}
            for part in cls.parts(settings)
        ]

    @classmethod
    def held_out(cls, settings: Any) -> int:
        """How many of the first test images belong to the attacker and are not scored."""
        return 0

    @classmethod
    def modules(cls) -> Iterator[str]:
        """See Entry."""
        yield from super().modules()
        if cls.fit:
            yield cls.fit.partition(":")[0]

    @classmethod
    def meaning(cls, settings: dict[str, Any]) -> Any:
        """See Entry: the stages of a sequence are its settings."""
        return [cls.function, cls.fit, settings]

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        for eps in getattr(self, "eps", ()):
            yield from eps_contradictions(path, eps, self.norm, most_values(study))
        # The step of one that looks for the nearest point is not measured in its ball.
        if "alpha" in self.model_fields_set and not type(self).minimum_norm:
            yield from alpha_contradictions(path, getattr(self, "alpha", None), getattr(self, "eps", ()))
        if type(self).least_classes > 2:
            yield from few_classes(path, self.method, type(self).least_classes, study)
        targeted = getattr(self, "targeted", None)
        if getattr(self, "loss", None) == "dlr":
            least = TARGETED_DLR_CLASSES if targeted else DLR_CLASSES
            yield from few_classes(f"{path}.loss", "dlr, targeted," if targeted else "dlr", least, study)


class SourceAttack(Attack):
    """An attack that asks the source itself."""

    expectation: Whole = setting(
        "Passes of the source whose mean logits the attack sees (expectation over transformation), for models that "
        "draw random numbers; where every attack on a model has it, the mean is scored, too.",
        1,
        ge=1,
        le=1000,
    )


class GradientAttack(SourceAttack):
    """An attack that follows the source's gradients."""

    gradient: Literal["straight-through", "identity", "smoothed"] = setting(
        "On quantized models, the slope that stands for that of the rounding: `straight-through` is 0 where values "
        "are clipped [bengio2013], `identity` 1 there too, `smoothed` that of a staircase of tanh [gong2019], which "
        "finds more at 2 and 3 bits.",
        "straight-through",
    )


def few_classes(path: str, what: str, least: int, study: Any) -> Iterator[str]:
    """A contradiction for every data set of the study that is known to have fewer classes."""
    for name, dataset in study.datasets.items():
        classes = dataset.classes()
        if classes is not None and classes < least:
            yield f"{path}: {what} needs at least {least} classes, datasets.{name} has {classes}"


def most_values(study: Any) -> int | None:
    """Numbers in the largest image of a study, None where it has none, or one of which nothing is known."""
    images = [dataset.values() for dataset in study.datasets.values()]
    return max(images) if images and study.whole("datasets") else None


def eps_contradictions(path: str, eps: Any, norm: str, values: int | None) -> Iterator[str]:
    """A contradiction of a radius that is larger than the box, or of an L0 radius that is no whole number.

    Args:
        values: numbers in the largest image, channels times pixels; None where nobody knows.
    """
    if eps is None:
        return
    if norm == Norm.L0 and eps != int(eps):
        yield f"{path}.eps: {eps.text} is no number of changed values, which l0 counts; write a whole number"
    diameter = (
        1 if norm == Norm.LINF else values and {Norm.L0: values, Norm.L1: values, Norm.L2: sqrt(values)}[Norm(norm)]
    )
    if diameter is None or eps <= diameter:
        return
    if norm == Norm.L0:
        yield f"{path}.eps: {eps.text} is more than the {values} values of an image; write at most {values}"
        return
    hint = f", did you mean {eps.text}/255?" if eps <= 255 * diameter and "/" not in eps.text else ""
    room = "(0, 1]" if norm == Norm.LINF else f"(0, {diameter:.4g}], the {norm} distance from black to white"
    yield f"{path}.eps: {eps.text} is not in {room}; pixels are in [0, 1]{hint}"


def alpha_contradictions(path: str, alpha: Any, radii: Sequence[Any]) -> Iterator[str]:
    """A contradiction of a step that is longer than the largest of the balls, any of which may be None, is wide."""
    largest = max((eps for eps in radii if eps is not None), default=None)
    if alpha is not None and largest is not None and alpha > 2 * largest:
        hint = f", did you mean {alpha.text}/255?" if alpha >= 1 and alpha / 255 <= 2 * largest else ""
        yield f"{path}.alpha: {alpha.text} is a step across the whole ball of eps: {largest.text}; write less{hint}"
