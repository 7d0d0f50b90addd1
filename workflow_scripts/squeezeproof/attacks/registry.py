"""Attack name -> function(model, inputs, labels, *, seed, examples, **settings); settings as in schemas/attack.yaml."""

from squeezeproof.attacks.fgsm import fgsm
from squeezeproof.attacks.pgd import bim, pgd

ATTACKS = {function.__name__: function for function in (fgsm, bim, pgd)}
