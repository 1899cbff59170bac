"""Times to whole seconds since 1970."""

import re
from decimal import Decimal, InvalidOperation

import pandas as pd
from stageio import StageError

# The power of ten by which a unit divides a second.
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def seconds(cells: pd.Series, unit: str) -> pd.Series:
    """The cells as whole seconds, rounded down; empty cells stay.

    A number is in `unit`, or for "auto" in the unit by which its size is a time of this age: s, ms,
    µs or ns. Other text is an ISO date, of UTC where it names no zone. Raises StageError.
    """
    return cells.map({cell: second(cell.strip(), unit, cells.name) for cell in cells.unique()})


def second(cell: str, unit: str, column: object) -> str:
    """One cell as whole seconds."""
    if not cell:
        return ""
    try:
        # Decimal keeps all digits of 19, which a float does not.
        number = Decimal(cell)
        if unit == "auto":
            size = max(number.copy_abs().adjusted() - 10, 0)
            unit = next((name for name, power in UNITS.items() if size <= power), "ns")
        return str(int((number.scaleb(-UNITS[unit])).to_integral_value("ROUND_FLOOR")))
    except (InvalidOperation, ValueError, OverflowError):
        pass
    try:
        if not re.match("[0-9]{4}-", cell):
            raise ValueError(cell)
        time = pd.Timestamp(cell)
        time = time.tz_localize("UTC") if time.tzinfo is None else time
        return str(int(time.timestamp() // 1))
    except (ValueError, OverflowError):
        problem = f"{column}: {cell[:40]!r} is no time"
        hint = "a time is a number of seconds, ms, µs or ns, or a date such as 2013-05-02T00:00:00Z"
        raise StageError(problem, hint) from None
