"""Seeds derived from names, so that no two streams of a study coincide and none depends on the order of jobs."""

import hashlib


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**63) that is a fixed function of the given names and numbers."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
