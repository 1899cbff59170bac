"""Symbolic links inside a component: where they lead to, link after link."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_LINKS = 40


def leaves(link: str, targets: Mapping[str, str]) -> bool:
    """Whether following a link leaves the directory that all paths are relative to.

    `targets` has the target of every link, by path. A link to nowhere or round in a circle stays
    inside.
    """
    place: list[str] = []
    ahead = link.split("/")[::-1]
    followed = 0
    while ahead:
        step = ahead.pop()
        if step in ("", "."):
            continue
        if step == "..":
            if not place:
                return True
            place.pop()
            continue
        place.append(step)
        target = targets.get("/".join(place))
        if target is not None:
            followed += 1
            if target.startswith("/"):
                return True
            if followed > _MOST_LINKS:
                return False
            place.pop()
            ahead += target.split("/")[::-1]
    return False
