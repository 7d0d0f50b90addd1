from typing import Literal

from squeezeproof.entries.attack import Candidates, GradientAttack, Overshoot
from squeezeproof.entries.settings import Real, Whole, setting


class Uap(GradientAttack):
    """Universal adversarial perturbation: one for all images, fitted on training images with DeepFool
    [moosavidezfooli2017].
    """

    function = "squeezeproof.attacks.uap:uap"
    fit = "squeezeproof.attacks.fitted:fit_universal_attack"
    display = "UAP"
    blind = True
    trains_on_images = True
    per_unit = (12, 23)

    method: Literal["uap"] = "uap"
    overshoot: Overshoot = 0.02
    candidates: Candidates = 10
    images: Whole = setting("Training images that it is fitted on, the first of the training split.", 1000, ge=1)
    passes: Whole = setting("Largest number of passes over them.", 20, ge=1, le=1000)
    fooling_rate: Real = setting(
        "Share of them whose prediction has to change for the fit to end (1 - delta in the paper).", 0.8, gt=0, le=1
    )
    deepfool_steps: Whole = setting("Largest number of DeepFool steps for an image and pass.", 10, ge=1, le=100_000)
