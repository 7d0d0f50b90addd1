from typing import Literal

from squeezeproof.entries.library import Library


class AdvLib(Library):
    """adv-lib, https://github.com/jeromerony/adversarial-library."""

    function = "squeezeproof.attacks.libraries.adv_lib:run"
    distribution = "adv-lib"
    package = "adv_lib.attacks"
    # It draws curves of losses there.
    stand_ins = ("visdom",)
    display = "adv-lib"

    library: Literal["adv_lib"] = "adv_lib"
