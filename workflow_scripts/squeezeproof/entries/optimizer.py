"""What an optimizer declares: its settings become keys of every training."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import Real

Momentum = Annotated[Real, Field(description="Momentum of sgd and rmsprop.", ge=0, lt=1)]


class Optimizer(Entry):
    """An optimizer.

    Called as function(parameter groups, lr=, **settings); returns a torch.optim.Optimizer.

    Attributes:
        arguments: setting -> argument of the function, where the names differ.
    """

    key: ClassVar[str] = "optimizer"
    arguments: ClassVar[dict[str, str]] = {}

    optimizer: str

    @classmethod
    def own(cls) -> list[str]:
        """The keys of a training that are its settings."""
        return [name for name in cls.model_fields if name != cls.key]

    @classmethod
    def options(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the function that checked settings of a training give, but for the learning rate."""
        return {cls.arguments.get(name, name): settings[name] for name in cls.own()}

    @classmethod
    def meaning(cls, settings: dict[str, Any]) -> Any:
        """See Entry."""
        return [cls.function, cls.options(settings)]

    @classmethod
    def training_contradictions(cls, path: str, training: Any) -> Iterator[str]:
        """Every contradiction between its settings and those of a training."""
        yield from ()
