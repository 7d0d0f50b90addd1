from typing import Literal

from squeezeproof.entries.library import Library


class Foolbox(Library):
    """Foolbox [rauber2020]."""

    function = "squeezeproof.attacks.libraries.foolbox:run"
    distribution = "foolbox"
    package = "foolbox"
    display = "Foolbox"

    library: Literal["foolbox"] = "foolbox"
