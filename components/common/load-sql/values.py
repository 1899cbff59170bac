"""Values of a database as text that is the same on every machine, in every session."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal


def text_of(value: object) -> str | None:
    """The text of a value; None for NULL.

    A decimal keeps its digits and never has an exponent, a float has the fewest digits that give it
    back, a time six digits of a second, a time with a zone stands in UTC, bytes are hexadecimal,
    lists and objects compact JSON.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo else value
        return value.isoformat(timespec="microseconds")
    if isinstance(value, time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=text_of)
    return str(value)
