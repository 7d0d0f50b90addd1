from typing import ClassVar, Literal

from squeezeproof.entries.dataset import Downloaded


class FashionMnist(Downloaded):
    """Fashion-MNIST [xiao2017], 60,000 + 10,000 grey images of 28x28."""

    function = "squeezeproof.datasets.downloads:load_fashion_mnist"
    display = "Fashion-MNIST"
    shape = (1, 28)
    known_classes = 10
    known_names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    images: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}

    kind: Literal["fashion_mnist"] = "fashion_mnist"
