"""Logits compared as a softmax sees them: no offset of all classes and no masked class hides a difference in others."""

import torch

# Of the spread of an example's logits.
LOGITS = 1e-3
ULPS = 16
# Below the largest logit by more than this a class is masked: its exponential is zero beside it in any precision.
MASKED = 1e4


def close(expected: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Whether each example of `found` [N, K] has the logits of `expected`, to rounding: bool [N].

    They are compared without their mean over the classes that are not masked, beside their spread.
    """
    seen = unmasked(expected)
    largest = torch.where(seen, expected, 0).abs().amax(1)
    rounding = ULPS * torch.finfo(expected.dtype).eps * largest
    values = centred(expected, seen)
    apart = (values - centred(found, seen)).abs().amax(1)
    return (apart <= LOGITS * values.abs().amax(1) + rounding) & (seen == unmasked(found)).all(1)


def unmasked(logits: torch.Tensor) -> torch.Tensor:
    """Which classes [N, K] of logits can matter: those that are finite and not far below the largest, at least two."""
    finite = logits.isfinite()
    top = torch.where(finite, logits, -torch.inf).amax(1, keepdim=True)
    near = finite & (logits > top - MASKED)
    return torch.where(near.sum(1, keepdim=True) > 1, near, finite)


def centred(logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Logits [N, K] minus their mean over the classes `seen`; zero in the others."""
    values = torch.where(seen, logits, 0).double()
    return torch.where(seen, values - values.sum(1, keepdim=True) / seen.sum(1, keepdim=True), 0)
