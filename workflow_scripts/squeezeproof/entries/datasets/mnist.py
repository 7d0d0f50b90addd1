from typing import ClassVar, Literal

from squeezeproof.entries.dataset import Downloaded


class Mnist(Downloaded):
    """MNIST [lecun1998], 60,000 + 10,000 grey images of 28x28."""

    function = "squeezeproof.datasets.downloads:load_mnist"
    display = "MNIST"
    shape = (1, 28)
    known_classes = 10
    known_names = (
        *("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight"),
        "9 - nine",
    )
    images: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}

    kind: Literal["mnist"] = "mnist"
