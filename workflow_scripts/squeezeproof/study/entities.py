"""What a plan is made of: data sets, models, and compressions and attacks at one level."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from squeezeproof.entries.compression import NONE

# In the place of the training in an ensemble's name.
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Dataset:
    """A data set of the plan.

    The settings are those that decide which images it has; `shards` is how many jobs share an attack on them, and
    `test_images` how many there are, None where only the files tell.
    """

    name: str
    settings: dict[str, Any]
    channels: int
    size: int
    shards: int = 1
    test_images: int | None = None

    def settings_of(self, split: str) -> dict[str, Any]:
        """Those that decide which images a split has: the number of test images is none of the training images'."""
        return self.settings if split == "test" else {**self.settings, "test": None}

    def key(self, split: str) -> str:
        """Name of the directory under data/prepared that holds a split; it changes with `settings_of` it."""
        return f"{self.name}.{_digest(json.dumps(self.settings_of(split), sort_keys=True))}"


@cache
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, order=True)
class Model:
    """A model variant; `compression` is `none` or an instance name such as weight-98.

    An ensemble has its own name in the place of the architecture and `ensemble` in that of the training.
    """

    dataset: str
    architecture: str
    training: str
    compression: str
    finetuning: str
    seed: int

    @cached_property
    def name(self) -> str:
        return f"{self.variant}.s{self.seed}"

    @property
    def variant(self) -> str:
        """The name without the seed, which models that differ in nothing else share."""
        return f"{self.architecture}.{self.training}.{self.compression}.{self.finetuning}"

    @property
    def is_base(self) -> bool:
        """Whether nothing was compressed and nothing trained since; an ensemble is its own base."""
        return self.compression == self.finetuning == NONE

    @property
    def is_control(self) -> bool:
        """Whether it is a base that was trained on without a compression."""
        return self.compression == NONE and self.finetuning != NONE

    @property
    def is_ensemble(self) -> bool:
        return self.training == ENSEMBLE

    @property
    def base(self) -> "Model":
        return Model(self.dataset, self.architecture, self.training, NONE, NONE, self.seed)


@dataclass(frozen=True)
class Instance:
    """A compression at one ratio or an attack at one budget: a name that paths carry, and plain settings."""

    name: str
    entry: str
    settings: dict[str, Any]


def plain(value: Any) -> Any:
    """The same structure with plain floats, which any process can unpickle."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, float) else value
