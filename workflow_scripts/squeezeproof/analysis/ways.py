"""What a person can do where the data do not settle an answer, in the words of how the models are asked about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ways:
    """What a person can do; by default, of a study.

    Attributes:
        follow: where no attack followed the gradients of a model.
        audited: where the audit refuses results.
    """

    follow: str = (
        "an attack on the model itself that takes several steps (PGD, AutoAttack); of a file that gives no gradients, "
        "on the network that it was made of, fake-quantized where the file is int8: make check takes it by "
        "COMPRESSED=, its weights, and COMPRESSED_FACTORY=, the function that builds it"
    )
    audited: str = "what tables/audit.csv says to do, and a new run"


OF_STUDY = Ways()
