"""Seeds derived from names, so that a new draw never shifts another's."""

import hashlib


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**31) fixed by the sequence of `parts`, for instance `("fit", "late", 3)`."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
