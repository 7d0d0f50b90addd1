"""Many tests at once."""

import numpy as np
from numpy.typing import ArrayLike


def holm(p_values: ArrayLike) -> np.ndarray:
    """P values adjusted by Holm's step-down method [holm1979], in their order.

    Rejecting those below alpha keeps the chance of any false rejection among them below alpha, however the tests
    depend on each other.
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(adjusted, 1)
    return result
