from typing import Literal

from squeezeproof.entries.library import Library


class Art(Library):
    """ART, https://github.com/Trusted-AI/adversarial-robustness-toolbox."""

    function = "squeezeproof.attacks.libraries.art:run"
    distribution = "adversarial-robustness-toolbox"
    package = "art.attacks.evasion"
    display = "ART"

    library: Literal["art"] = "art"
