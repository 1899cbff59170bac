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
    for row in times.isna().to_numpy().nonzero()[0]:
        problem = f"record {before + row + 1}, column {cells.name}: {cells.iloc[row][:40]!r}"
        hint = "--time: a number of seconds, ms, µs or ns, or a date such as 2013-05-02T00:00:00Z"
        raise StageError(f"{problem} is no time", hint)
    return times


def second(cell: str, unit: str) -> str | None:
    """One cell as whole seconds; None where it is no time."""
    if not cell:
        return cell
    if NUMBER.fullmatch(cell):
        # Decimal keeps all digits of 19, which a float does not.
        number = Decimal(cell)
        by_size = next((p for p in UNITS.values() if number.adjusted() <= p + 10), UNITS["ns"])
        whole = number.scaleb(-UNITS.get(unit, by_size)).to_integral_value("ROUND_FLOOR")
        return str(int(whole)) if whole.adjusted() < 18 else None
    try:
        time = pd.to_datetime(cell, utc=True).floor("s") if DATE.match(cell) else pd.NaT
        return str(int(time.timestamp()))
    except (ValueError, OverflowError):
        return None
