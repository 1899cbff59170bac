"""Cron expressions and time zones, as the controller of CronWorkflows reads them."""

from __future__ import annotations

import re

from daintree.errors import UsageError
from daintree.suggest import nearest

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, least and greatest value, and the names that stand for values from the least on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_SHORT = frozenset(
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
)
_RANGE = re.compile(r"([^-/]+)(?:-([^-/]+))?(?:/(\d+))?")
_HINT = 'minute, hour, day of the month, month, day of the week (Sunday is 0), such as "0 3 * * *"'


def check_schedule(text: str) -> str:
    """The expression with single spaces. Raises UsageError for one that no controller takes, naming the field at fault."""
    fields = text.split()
    if len(fields) == 1 and fields[0] in _SHORT:
        return fields[0]
    if len(fields) != len(_FIELDS):
        raise UsageError(
            f"--schedule {text!r}: expected five fields, got {len(fields)}",
            hint=_HINT,
        )
    for (name, least, greatest, names), field in zip(_FIELDS, fields, strict=True):
        for part in field.split(","):
            problem = _problem(part, least, greatest, names)
            if problem:
                raise UsageError(
                    f"--schedule {text!r}: the {name} {field!r}: {problem}", hint=_HINT
                )
    return " ".join(fields)


def check_timezone(name: str) -> str:
    """The name of a time zone. Raises UsageError, with the nearest one, for what is none."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"--timezone {name!r}: there is no such time zone",
            hint=nearest(
                name, sorted(zoneinfo.available_timezones()), otherwise="such as Europe/Berlin"
            ),
        ) from None
    return name


def _problem(part: str, least: int, greatest: int, names: tuple[str, ...]) -> str:
    found = _RANGE.fullmatch(part)
    if not found:
        return f"{part!r} is no value, range or step"
    first, last, step = found.groups()
    if step == "0":
        return "a step is 1 or more"
    if first in ("*", "?"):
        return f"{part!r} is no value, range or step" if last else ""
    values = []
    for word in filter(None, (first, last)):
        value = names.index(word.lower()) + least if word.lower() in names else _number(word)
        if value is None or not least <= value <= greatest:
            return f"{word!r} is not from {least} to {greatest}"
        values.append(value)
    return f"{part!r} ends before it begins" if values != sorted(values) else ""


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdecimal() else None
