"""Which cron expressions and time zones are taken, and what is said of the others."""

from __future__ import annotations

import pytest

from daintree.argo.triggers import check_schedule, check_timezone
from daintree.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "0 3 * * *",
        "*/15 0-6,22 1 jan,JUL mon-fri",
        "5-59/10 * ? * 0",
        "@daily",
    ],
)
def test_what_a_controller_takes(text: str) -> None:
    assert check_schedule(f"  {text.replace(' ', '   ')} ") == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected five fields, got 0"),
        ("0 3 * *", "expected five fields, got 4"),
        ("0 0 3 * * *", "expected five fields, got 6"),
        ("60 3 * * *", "the minute '60': '60' is not from 0 to 59"),
        ("0 24 * * *", "the hour '24': '24' is not from 0 to 23"),
        ("0 3 0 * *", "the day of the month '0': '0' is not from 1 to 31"),
        ("0 3 * brumaire *", "the month 'brumaire': 'brumaire' is not from 1 to 12"),
        ("0 3 * * 7", "the day of the week '7': '7' is not from 0 to 6"),
        ("0 6-3 * * *", "the hour '6-3': '6-3' ends before it begins"),
        ("*/0 3 * * *", "the minute '*/0': a step is 1 or more"),
        ("1,,2 3 * * *", "the minute '1,,2': '' is no value, range or step"),
        ("*-5 3 * * *", "the minute '*-5': '*-5' is no value, range or step"),
        ("@never", "expected five fields, got 1"),
        ("٣ 3 * * *", "the minute '٣': '٣' is not from 0 to 59"),
    ],
)
def test_what_it_does_not_take(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as failure:
        check_schedule(text)
    assert failure.value.message == f"--schedule {text!r}: {complaint}"
    assert failure.value.hint.startswith("minute, hour, day of the month")


def test_time_zones() -> None:
    assert check_timezone("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(UsageError) as failure:
        check_timezone("Europe/Berlim")
    assert failure.value.message == "--timezone 'Europe/Berlim': there is no such time zone"
    assert failure.value.hint == "did you mean 'Europe/Berlin'?"
    for name in ("../../etc/passwd", "/etc/localtime", "", "a\0b"):
        with pytest.raises(UsageError, match="there is no such time zone"):
            check_timezone(name)
