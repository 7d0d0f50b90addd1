"""What an entry of every section declares beside its settings.

A class is an entry: its docstring is the description, its fields are the settings, its other attributes say what
the rest of the project derives. `function` is a dotted name, `package.module:function`, imported when it is used.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, ClassVar

from squeezeproof.entries.settings import Settings


class Entry(Settings):
    """One thing that a config can name.

    Attributes:
        title, about: of its section, for the reference.
        key: of the config that names it, and the field that holds its name.
        function: what does the work; the base class of its section says how it is called.
        display: its name in figures and pages, if they write it in another way.
        spellings: other names that studies give it -> the same for them.
    """

    title: ClassVar[str]
    about: ClassVar[str]
    key: ClassVar[str]
    function: ClassVar[str] = ""
    display: ClassVar[str] = ""
    spellings: ClassVar[dict[str, str]] = {}

    @classmethod
    def label(cls) -> str:
        """The name that a config calls it by."""
        return cls.model_fields[cls.key].default

    @classmethod
    def imported(cls, name: str = "function") -> Callable[..., Any]:
        """The function of that attribute, imported."""
        module, _, function = getattr(cls, name).partition(":")
        return getattr(import_module(module), function)

    @classmethod
    def modules(cls) -> Iterator[str]:
        """Dotted names of the modules of its functions."""
        if cls.function:
            yield cls.function.partition(":")[0]

    @classmethod
    def meaning(cls, settings: dict[str, Any]) -> Any:
        """What of this declaration, as JSON, decides a result of a job with these settings, beside its code."""
        return cls.function

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """Every contradiction of settings that are each allowed; `path` is the entry's, `study` the whole config."""
        yield from ()
