"""What settings are made of: closed groups of typed values, numbers as they were written, lists that one value may be.

Standard library and pydantic only: a dry run loads this.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    WrapValidator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

NUMBER = re.compile(r"\s*([0-9.eE+-]+)\s*(?:/\s*([0-9.eE+-]+)\s*)?")
LISTED = 8
# Denominator up to which a number is taken for a fraction.
LARGEST = 10_000
# What people write -> the name that they mean, which is not the one that is spelled most like it.
MEANT = {"gpu": "cuda"}
T = TypeVar("T")


class Number(float):
    """A float that remembers its `text`, as the config wrote it, and what it goes by in names, `label`."""

    text: str
    label: str

    def __new__(cls, value: float, text: str, label: str = "") -> "Number":
        number = super().__new__(cls, value)
        number.text, number.label = text, label or text
        return number


def folded(name: str) -> str:
    """A name without what people write in one way or another: its case, and what joins its words."""
    return re.sub(r"[-_\s]", "", name.casefold())


def suggest(name: Any, allowed: Iterable[Any]) -> str:
    """`, did you mean ...?` for the nearest of the allowed names, or what is allowed.

    The nearest is one that differs in its case alone, or one of MEANT, before one that differs in what joins its words,
    too, and that before one that is spelled like it. Letters that look like others or like none are named.
    """
    names, text = [str(item) for item in allowed], str(name)
    alike = [known for known in names if known.casefold() == text.casefold() or known == MEANT.get(text.casefold())]
    alike = alike or [known for known in names if folded(text) and folded(known) == folded(text)]
    nearest = alike or difflib.get_close_matches(text, names, n=1)
    if nearest:
        odd = next((letter for letter in text if not letter.isascii()), None)
        told = f", without {unicodedata.name(odd, ascii(odd))}" if odd else ""
        return f", did you mean {nearest[0]}{told}?"
    shown = [*names[:LISTED], *(["..."] if len(names) > LISTED else [])]
    return f"; allowed: {', '.join(shown)}" if shown else ""


def problem(text: str, at: str = "") -> PydanticCustomError:
    """What a validator raises: the whole text of a problem, without the path, which `at` is added to."""
    return PydanticCustomError("problem", "{text}", {"text": text, "at": at})


def read_number(value: Any) -> Any:
    """The Number that a text or a number of a config says, or the value as it is."""
    if isinstance(value, Number):
        return value
    match = NUMBER.fullmatch(str(value))
    if not match:
        return _finite(value)
    try:
        numerator, denominator = float(match[1]), float(match[2] or 1)
        quotient = numerator / denominator
    except (ValueError, ZeroDivisionError):
        return value
    text = f"{numerator:.12g}/{denominator:.12g}" if match[2] else f"{quotient:.12g}"
    return _finite(Number(quotient, text, label_of(quotient)))


def label_of(value: float) -> str:
    """A number as a short decimal, else in levels of 255 or as a fraction: equal numbers have one text, however
    they are written, and so one name and one job.
    """
    decimals = f"{value:.12g}"
    if float(decimals) == value:
        return decimals
    levels = f"{255 * value:.6g}"
    if float(levels) / 255 == value:
        return f"{levels}/255"
    fraction = Fraction(value).limit_denominator(LARGEST)
    return f"{fraction.numerator}/{fraction.denominator}" if float(fraction) == value else decimals


def _real(value: Any, check: Callable[[Any], float]) -> float:
    number = read_number(value)
    check(number)
    return number


def _whole(value: Any) -> Any:
    return int(value) if isinstance(_finite(value), float) and value.is_integer() else value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise problem(f"{float(value)} is not a finite number")
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _distinct(values: list[Any]) -> list[Any]:
    if any(value in values[:index] for index, value in enumerate(values)):
        shown = [str(getattr(value, "text", value)) for value in values]
        raise problem(f"{shown} holds the same value twice")
    return values


# A fraction such as 8/255 is a number, and 30.0 is a whole one.
Real = Annotated[float, Field(strict=True), WrapValidator(_real)]
Whole = Annotated[int, BeforeValidator(_whole), Field(strict=True)]
Text = StrictStr
Flag = StrictBool
Positive = Annotated[Real, Field(gt=0)]
# Lists may be written as one value.
Several = Annotated[list[T], BeforeValidator(_listed)]
Distinct = Annotated[list[T], BeforeValidator(_listed), AfterValidator(_distinct)]


def setting(description: str, default: Any = ..., **constraints: Any) -> Any:
    """A field of Settings: what it means, its default (none: it must be given), and pydantic's constraints."""
    return Field(default, description=description, **constraints)


class Settings(BaseModel):
    """A mapping of a config in which no other key may stand."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, regex_engine="python-re", defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        """A null removes a key, which lets an overlay config drop what its base declares."""
        if not isinstance(value, dict):
            return value
        nullable = {key for key, name in cls.names().items() if accepts_null(cls.model_fields[name].annotation)}
        return {key: item for key, item in value.items() if item is not None or key in nullable}

    @classmethod
    def names(cls) -> dict[str, str]:
        """Key of a config -> name of the field; the one that names an entry comes first."""
        names = {field.alias or name: name for name, field in cls.model_fields.items()}
        first = getattr(cls, "key", None)
        return dict(sorted(names.items(), key=lambda item: item[0] != first))

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Key -> default, as a plain value, of every setting that has one."""
        fields = {key: cls.model_fields[name] for key, name in cls.names().items()}
        return {key: _default(field) for key, field in fields.items() if not field.is_required()}


def _default(field: FieldInfo) -> Any:
    group = isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    return field.annotation.defaults() if group else field.default


def accepts_null(annotation: Any) -> bool:
    """Whether None is a value of a field's type."""
    return annotation is Any or type(None) in get_args(annotation)


def as_dict(value: Any) -> Any:
    """Settings, and lists and mappings of them, as plain dictionaries under the keys of the config."""
    if isinstance(value, Settings):
        return {key: as_dict(getattr(value, name)) for key, name in type(value).names().items()}
    if isinstance(value, dict):
        return {key: as_dict(item) for key, item in value.items()}
    return [as_dict(item) for item in value] if isinstance(value, list) else value
