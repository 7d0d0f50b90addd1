from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.settings import Text, setting
from squeezeproof.factories import refusal


class Custom(Architecture):
    """Your own network, any `package.module:factory` under the working directory, or of a package that
    `allow_factories` names.
    """

    checked_first = True

    kind: Literal["custom"] = "custom"
    factory: Text = setting(
        "`package.module:function`, called as function(in_channels=, num_classes=, image_size=, **arguments); returns "
        "a torch.nn.Module that maps pixels to logits.",
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$(?!\n)",
        json_schema_extra={
            "x-form": "of the form package.module:function, such as nets.small:make for make of nets/small.py"
        },
    )
    arguments: dict[str, Any] = setting("Further keyword arguments of the factory.", {})

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if (problem := named_as_file(self.factory)) or (
            study.whole("allow_factories") and (problem := refusal(self.factory, study.allow_factories))
        ):
            yield f"{path}.factory: {problem}"


def named_as_file(factory: str) -> str:
    """What to write where a factory has its module's file in the place of the module; nothing where it has not."""
    module, _, function = factory.partition(".py:")
    return f"{factory}: a module is named without .py; write {module}:{function}" if function else ""
