from typing import Literal

from squeezeproof.entries.library import Library


class Torchattacks(Library):
    """torchattacks [kim2020]."""

    function = "squeezeproof.attacks.libraries.torchattacks:run"
    distribution = "torchattacks"
    package = "torchattacks"

    library: Literal["torchattacks"] = "torchattacks"
