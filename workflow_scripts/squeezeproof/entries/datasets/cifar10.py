from typing import ClassVar, Literal

from squeezeproof.entries.dataset import Downloaded


class Cifar10(Downloaded):
    """CIFAR-10 [krizhevsky2009], 50,000 + 10,000 RGB images of 32x32."""

    function = "squeezeproof.datasets.downloads:load_cifar10"
    display = "CIFAR-10"
    shape = (3, 32)
    known_classes = 10
    known_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    images: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}

    kind: Literal["cifar10"] = "cifar10"
