"""Names that no entry of a config may have."""

from squeezeproof.entries.compression import NONE
from squeezeproof.study.entities import ENSEMBLE

NOTHING = {NONE: "it means that nothing is done"}
# Section -> names that tables and files give another meaning than an entry's, each with that meaning.
TAKEN = {
    "trainings": {**NOTHING, ENSEMBLE: "models of `ensembles` have it in the place of a training"},
    "finetunings": NOTHING,
    "compressions": NOTHING,
    "attacks": {"clean": "tables and predictions call images so that no attack changed"},
}
