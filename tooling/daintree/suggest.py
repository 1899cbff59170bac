"""The nearest name to one that does not exist."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMES = 12


def nearest(name: str, known: Sequence[str], *, otherwise: str = "") -> str:
    """A hint such as "did you mean 'train'?"; else `otherwise`, or else the names there are; "" when there are none."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if otherwise or not known:
        return otherwise
    more = ", …" if len(known) > MOST_NAMES else ""
    return "there are: " + ", ".join(sorted(known)[:MOST_NAMES]) + more
