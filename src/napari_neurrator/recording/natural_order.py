"""Names in the order in which people count them."""

import re


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts names with their numbers as numbers: image 2 before image 10."""
    parts = re.split(r"(\d+)", name.lower())
    # Python refuses to read numbers of thousands of digits.
    return [(0, int(part)) if part.isdecimal() and len(part) < 20 else (1, part) for part in parts if part]
