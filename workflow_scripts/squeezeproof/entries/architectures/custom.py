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
        json_schema_extra={"x-form": "of the form package.module:function"},
    )
    arguments: dict[str, Any] = setting("Further keyword arguments of the factory.", {})

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if study.whole("allow_factories") and (problem := refusal(self.factory, study.allow_factories)):
            yield f"{path}.factory: {problem}"
