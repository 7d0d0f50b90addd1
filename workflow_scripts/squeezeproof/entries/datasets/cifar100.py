from typing import ClassVar, Literal

from squeezeproof.entries.dataset import Downloaded


class Cifar100(Downloaded):
    """CIFAR-100 [krizhevsky2009], 50,000 + 10,000 RGB images of 32x32."""

    function = "squeezeproof.datasets.downloads:load_cifar100"
    display = "CIFAR-100"
    shape = (3, 32)
    known_classes = 100
    images: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}

    kind: Literal["cifar100"] = "cifar100"
