"""Times to whole seconds since 1970."""

import re
from decimal import Decimal

import pandas as pd
from stageio import StageError

# The power of ten by which a unit divides a second.
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}T")


def seconds(cells: pd.Series, unit: str, before: int) -> pd.Series:
    """The cells of a column, after `before` records, as whole seconds, rounded down; empty ones stay.

    A number is in `unit`, or for "auto" in the unit by which its size is a time of this age: s, ms,
    µs or ns. Other text is an ISO date, of UTC where it names no zone. Raises StageError.
    """
    times = cells.map({cell: second(cell.strip(), unit) for cell in cells.unique()})
    if (wrong := times.isna()).any():
        row = int(wrong.to_numpy().argmax())
        problem = f"record {before + row + 1}, column {cells.name}: {cells.iloc[row][:40]!r}"
        hint = "--time: a number of seconds, ms, µs or ns, or a date such as 2013-05-02T00:00:00Z"
        raise StageError(f"{problem} is no time", hint)
    return times


def second(cell: str, unit: str) -> str | None:
    """One cell as whole seconds; None where it is no time."""
    if not cell:
        return ""
    if NUMBER.fullmatch(cell):
        # Decimal keeps all digits of 19, which a float does not.
        number = Decimal(cell)
        size = max(number.adjusted() - 10, 0)
        if unit == "auto":
            unit = next((name for name, power in UNITS.items() if size <= power), "ns")
        seconds = number.scaleb(-UNITS[unit]).to_integral_value("ROUND_FLOOR")
        return str(int(seconds)) if seconds.adjusted() < 18 else None
    if not DATE.match(cell):
        return None
    try:
        time = pd.Timestamp(cell)
        time = time.tz_localize("UTC") if time.tzinfo is None else time
        return str(int(time.timestamp() // 1))
    except (ValueError, OverflowError):
        return None
