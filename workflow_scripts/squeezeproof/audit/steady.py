"""Whether a network gives an image the same logits in every pass and in any batch, tried before it is trained."""

import torch
from torch import nn

from squeezeproof.attacks.checks import check_logits
from squeezeproof.audit.findings import EVERY, FAILURE
from squeezeproof.audit.probe import AVERAGING, agrees
from squeezeproof.audit.trial import Trial
from squeezeproof.errors import InputError
from squeezeproof.evaluation.support import as_if_trained
from squeezeproof.models.random_passes import IMAGES
from squeezeproof.randomness import own_randomness

ADVICE = "where it is dropout, write F.dropout(h, 0.3, training=self.training), or nn.Dropout, which eval() turns off"


def check_steady(model: nn.Module, name: str, images: torch.Tensor, labels: torch.Tensor, expectation: int) -> None:
    """InputError where check 6 of the audit would keep all attacks on a network out of the tables, after all work.

    Args:
        model: an untrained network, left as it is.
        name: what the study calls it.
        images, labels: of the training split, uint8 and int64, of which the first few are used.
        expectation: passes of it whose mean logits all its attacks see, 1 unless each sees several.
    """
    tried = as_if_trained(model).eval()
    trial = Trial(tried, images[:IMAGES], labels[:IMAGES], 0, None)
    with own_randomness(0):
        with torch.no_grad():
            # Also what a first pass alone draws, to fill what the others use.
            check_logits(tried(trial.inputs), tried, trial.inputs)
        found = agrees((EVERY, EVERY, EVERY, EVERY), trial, expectation, f"{AVERAGING}; {ADVICE}")
    if found.verdict == FAILURE:
        raise InputError(f"{name}: {found.message}")
