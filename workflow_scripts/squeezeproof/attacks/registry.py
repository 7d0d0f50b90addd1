"""Attack name -> function(model, inputs, labels, *, seed, indices, **settings)."""

from squeezeproof.entries import registry

ATTACKS = registry.Functions(registry.attacks())
# Attacks that learn from images before they attack any.
FITS = registry.Functions(registry.attacks(), "fit")
