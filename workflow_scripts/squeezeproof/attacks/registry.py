"""Attack name -> function(model, inputs, labels, *, seed, indices, **settings)."""

from squeezeproof.attacks.apgd import apgd, apgd_t
from squeezeproof.attacks.carlini_wagner import cw
from squeezeproof.attacks.deepfool import deepfool
from squeezeproof.attacks.fab import fab, fab_t
from squeezeproof.attacks.fgsm import fgsm
from squeezeproof.attacks.fitted import fit_substitute_attack, fit_universal_attack
from squeezeproof.attacks.momentum import difgsm, mifgsm
from squeezeproof.attacks.noise import noise
from squeezeproof.attacks.pgd import bim, pgd
from squeezeproof.attacks.square import square
from squeezeproof.attacks.substitute import substitute
from squeezeproof.attacks.uap import uap

ATTACKS = {
    function.__name__: function
    for function in (
        *(fgsm, bim, pgd, apgd, apgd_t, fab, fab_t, square, cw, deepfool),
        *(uap, substitute, mifgsm, difgsm, noise),
    )
}

# Attacks that learn from images before they attack any.
FITS = {"uap": fit_universal_attack, "substitute": fit_substitute_attack}
