"""What a library of attacks declares, and the attacks that its table names.

The table, a JSON file beside the library's module, has every attack of the pinned version with its own parameters and
their defaults, so that a config is checked where neither the library nor torch is loaded. `make libraries` writes it.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, create_model

from squeezeproof.entries.attack import Attack, GradientAttack, SourceAttack
from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import (
    Flag,
    Number,
    Positive,
    Real,
    Several,
    Text,
    Whole,
    problem,
    read_number,
    setting,
)

# Parameters that say how far a step goes.
STEP_SIZES = (
    *("alpha", "eps_step", "stepsize", "abs_stepsize", "rel_stepsize", "initial_stepsize", "max_stepsize", "lr"),
    *("learning_rate", "absolute_step_size", "relative_step_size", "lr_init", "primal_lr", "dual_lr"),
)
# Parameters of which any number has a meaning: JSMA darkens pixels by a negative theta.
UNBOUNDED = ("theta",)
# No JSON has such a number.
INFINITE = {"inf": float("inf")}
# Parameters that an attack's cost is proportional to, by the names that the libraries give them.
UNITS = (
    *("steps", "max_iter", "num_steps", "n_iter", "nb_iter", "num_iter_set", "max_iterations", "n_queries", "repeats"),
    *("binary_search_steps", "restarts", "n_restarts", "nb_restarts", "nb_random_init", "eot_iter", "nb_sample"),
)


class Library(Entry):
    """A package of attacks.

    Its function is called with a Call (attacks/libraries/call.py): an attack of that name on one batch, with every
    parameter of its own. It returns pixels of the same shape, as the library does.

    Attributes:
        distribution, package: what is installed, and the module of it that has the attacks.
        stand_ins: packages that it imports and that none of its attacks uses; empty modules stand in for them.
    """

    title: ClassVar[str] = "Attacks of other libraries"
    about: ClassVar[str] = (
        "`method: torchattacks.NIFGSM` runs that attack of that library, with the library's own parameters beside "
        "the settings here. The library sees a model that is watched: of every example the strongest point that it "
        "looked at inside the ball is kept, since several libraries return the clean image where they fail. "
        "[Attacks of other libraries](choose_an_attack.md#attacks-of-other-libraries) says what they are held to."
    )
    key: ClassVar[str] = "library"
    distribution: ClassVar[str]
    package: ClassVar[str]
    stand_ins: ClassVar[tuple[str, ...]] = ()

    library: str

    @classmethod
    @cache
    def table(cls) -> dict[str, Any]:
        """What the library offers: `version`, `attacks` by name, `choices` of parameters, `left_out`, name -> why."""
        module = import_module(cls.__module__)
        return json.loads(Path(str(module.__file__)).with_suffix(".json").read_text())

    @classmethod
    def methods(cls) -> list[str]:
        """The names that a config calls its attacks by."""
        return [f"{cls.label()}.{name}" for name in cls.table()["attacks"]]

    @classmethod
    @cache
    def attack(cls, name: str) -> type[Attack]:
        """The attack of that name; KeyError where the library has none."""
        row = cls.table()["attacks"][name]
        parameters = row["parameters"]
        fields: dict[str, Any] = {key: _field(key, value) for key, value in parameters.items()}
        fields |= {key: _field(key) for key in row["required"]}
        fields |= {
            key: _choice(parameters[key], values) for key, values in cls.table()["choices"].get(name, {}).items()
        }
        method = f"{cls.label()}.{name}"
        bases = (LibraryAttack, GradientAttack) if row["needs"] == "gradients" else (LibraryAttack,)
        made: Any = create_model(
            f"{cls.__name__}{name}",
            __base__=bases,
            __module__=cls.__module__,
            __doc__=f"{name} of {cls.label()}.",
            method=(Literal[method], method),
            **fields,
        )
        made.library_of, made.row = cls, row
        made.display, made.needs, made.norms = f"{name} ({cls.label()})", row["needs"], tuple(row["norms"])
        made.minimum_norm, made.own_budget = row["finds"] == "nearest", row["finds"] == "own budget"
        made.blind, made.takes_target = row["needs"] == "nothing", row["targeted"]
        made.targeted_alone = row.get("targeted_alone", False)
        made.units = tuple(key for key in UNITS if key in fields)
        made.per_unit = (1, 1 if row["needs"] == "gradients" else 0)
        return made


class LibraryAttack(SourceAttack):
    """An attack of a library, with the settings that all of them have.

    Attributes:
        library_of, row: the Library, and the attack's row in its table.
    """

    function = "squeezeproof.attacks.library:attack"
    draws_by_batch = True
    library_of: ClassVar[type[Library]]
    row: ClassVar[dict[str, Any]]

    keep: Literal["best", "returned"] = setting(
        "`best` returns the strongest point that the library looked at; `returned` what it returned, but the strongest "
        "point where that is the clean image of an example that it failed to fool.",
        "best",
    )
    queries: Whole | None = setting(
        "Images that the source classifies for each image that is attacked, after which the attack is ended. It is "
        "then run on one image at a time. null lets it end by itself, on a batch.",
        None,
        ge=1,
        le=10_000_000,
    )

    @classmethod
    def imported(cls, name: str = "function") -> Callable[..., Any]:
        """See Entry."""
        return partial(super().imported(name), cls)

    @classmethod
    def modules(cls) -> Iterator[str]:
        """See Entry."""
        yield from super().modules()
        yield from cls.library_of.modules()

    @classmethod
    def meaning(cls, settings: dict[str, Any]) -> Any:
        """See Entry: another version of the library is another attack."""
        return [super().meaning(settings), cls.library_of.table()["version"], cls.row]

    @classmethod
    def further_packages(cls, settings: dict[str, Any]) -> list[str]:
        """Packages that it imports with these settings, and that its library does not install."""
        needed = cls.row.get("packages", {})
        return [name for name, when in needed.items() if all(settings[key] == value for key, value in when.items())]

    @classmethod
    def own(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The library's own parameters among some settings, as it takes them."""
        values = {key: settings[key] for key in (*cls.row["parameters"], *cls.row["required"])}
        return {key: INFINITE.get(str(value), value) for key, value in values.items()}


def _parameter(value: Any) -> Any:
    """A number where a text says one, and else the value; what no JSON has is none."""
    if isinstance(value, list):
        return [_parameter(item) for item in value]
    if isinstance(value, dict):
        raise problem(f"{value!r} is no number, text, flag or list of them")
    return read_number(value) if isinstance(value, str | float) else value


def _numeric(value: Any) -> Any:
    """A whole number as an int, another one as a float."""
    number = read_number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise problem(f"{value!r} is not a number")
    return int(number) if number == int(number) and not isinstance(number, Number) else number


THEIRS = "The library's own."
Parameter = Annotated[Any, BeforeValidator(_parameter)]
Numeric = Annotated[Any, BeforeValidator(_numeric)]


def _field(name: str, default: Any = ...) -> tuple[Any, Any]:
    """The type and the setting of a parameter with this name and default, none where it must be given.

    The libraries take what is no number of steps, or a step backwards, without a word: an attack of no step finds that
    every model is robust.
    """
    setting_of = partial(setting, "The library's own, without a default." if default is ... else THEIRS)
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if name in UNITS and (is_number or default in (None, ...)):
        return (Whole if default is not None else Whole | None), setting_of(default, ge=1)
    if name in STEP_SIZES and (is_number or default is None):
        return (Positive if default is not None else Positive | None), setting_of(default)
    if is_number and name not in UNBOUNDED:
        # Whole numbers count something, such as pixels.
        bound = {"gt": 0} if isinstance(default, int) and default > 0 else {"ge": 0}
        return (Real if isinstance(default, float) else Numeric), setting_of(default, **bound)
    kinds: dict[type, Any] = {bool: Flag, int: Numeric, float: Real, str: Text, list: Several[Parameter]}
    return kinds.get(type(default), Parameter), setting_of(default)


def _choice(default: Any, values: list[Any]) -> tuple[Any, Any]:
    """The type and the setting of a parameter that names one of some things, or none where that is its default."""
    kind: Any = Literal[tuple(values)]
    return (kind | None if default is None else kind), setting(THEIRS, default)
