"""Attack name -> function(model, inputs, labels, *, seed, indices, **settings); see squeezeproof.entries."""

from squeezeproof.entries.registry import Functions, attacks

ATTACKS = Functions(attacks())

# Attacks that learn from images before they attack any.
FITS = Functions(attacks(), "fit")
