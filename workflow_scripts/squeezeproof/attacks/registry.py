"""Attack name -> function(model, inputs, labels, *, seed, indices, **settings)."""

from squeezeproof.catalog import Functions

ATTACKS = Functions("attacks")

# Attacks that learn from images before they attack any.
FITS = Functions("fits")
