"""Rows of a real PostgreSQL."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from conftest import PASSWORD, ROLE, Load
from stageio import StageError


@pytest.fixture
def url(postgresql: str) -> str:
    """The URL of a role with a password that may read what is there."""
    with psycopg.connect(postgresql, autocommit=True) as owner:
        owner.execute("DROP TABLE IF EXISTS sales")
        owner.execute("CREATE TABLE sales (id int, who text, price numeric(8,2))")
        owner.execute(
            "INSERT INTO sales VALUES (1, NULL, 1.10), (2, '', 2), (3, '\u00e9\"x, y', 0)"
        )
        if not owner.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
            owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'".encode())
        owner.execute(f"GRANT SELECT ON sales TO {ROLE}".encode())
    return postgresql.replace("owner@", f"{ROLE}:{quote(PASSWORD, safe='')}@")


def test_null_is_no_empty_text_and_decimals_keep_their_digits(load: Load, url: str) -> None:
    assert load(url, "SELECT * FROM sales ORDER BY id;\n") == [
        ["id", "who", "price"],
        ["1", r"\N", "1.10"],
        ["2", "", "2.00"],
        ["3", 'é"x, y', "0.00"],
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("timestamptz '2026-11-01 12:00:00+02'", "2026-11-01T10:00:00.000000+00:00"),
        ("timestamptz '2026-11-01 12:00:00.5Z'", "2026-11-01T12:00:00.500000+00:00"),
        ("timestamp '2026-11-01 12:00:00'", "2026-11-01T12:00:00.000000"),
        ("(timestamptz '2026-11-01 12:00:00+02')::text", "2026-11-01 10:00:00+00"),
        ("date '2026-11-01'", "2026-11-01"),
        ("time '12:00'", "12:00:00.000000"),
        ("1e-20::numeric", "0.00000000000000000001"),
        ("12345678901234567890.10::numeric", "12345678901234567890.10"),
        ("0.1::float8", "0.1"),
        ("'NaN'::float8", "nan"),
        ("9223372036854775807", "9223372036854775807"),
        ("true", "true"),
        ("'0000031852'", "0000031852"),
        (r"'\x00ff'::bytea", "00ff"),
        ("ARRAY[1, NULL, 3]", "[1,null,3]"),
        ("ARRAY[1.10]", '["1.10"]'),
        ("""'{"a": [1, "é"]}'::jsonb""", '{"a":[1,"é"]}'),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("'100 % :name'", "100 % :name"),
    ],
)
def test_each_kind_of_value_is_fixed_text(load: Load, url: str, value: str, text: str) -> None:
    assert load(url, f"SELECT 1 AS id, {value} AS v")[1] == ["1", text]


def test_many_rows_are_streamed_in_their_order(load: Load, url: str) -> None:
    query = "SELECT n AS a, 'user ' || n AS b FROM generate_series(1, 50000) AS n ORDER BY n DESC"
    rows = load(url, query, max_unordered=1)
    assert len(rows) == 50_001
    assert (rows[1], rows[-1]) == (["50000", "user 50000"], ["1", "user 1"])


def test_the_role_can_change_nothing(load: Load, postgresql: str, url: str) -> None:
    query = "WITH gone AS (DELETE FROM sales RETURNING id) SELECT id FROM gone ORDER BY id"
    with pytest.raises(StageError, match=r"q\.sql: the database says: "):
        load(postgresql, query)
    assert len(load(url, "SELECT id FROM sales")) == 4


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nowhere ORDER BY 1", 'relation "nowhere" does not exist'),
        ("SELECT 1 / (n - 30000) AS x FROM generate_series(1, 40000) AS n", "division by zero"),
        ("SELECT absent FROM sales", 'column "absent" does not exist'),
        ("SELECT timestamptz 'infinity' AS t", "timestamp too large"),
    ],
)
def test_what_the_database_refuses_is_said(load: Load, url: str, query: str, message: str) -> None:
    with pytest.raises(StageError, match=message) as caught:
        load(url, query)
    assert "URL" not in caught.value.hint


@pytest.mark.parametrize("change", ["password", "port", "database", "host", "option"])
def test_no_error_has_a_part_of_the_url(load: Load, url: str, change: str) -> None:
    wrong = {
        "password": url.replace("%3A7@", "%3A8@"),
        "port": url.rpartition(":")[0] + ":1/postgres",
        "database": url.rpartition("/")[0] + "/private_sales",
        "host": url.replace("127.0.0.1", "secret-host.invalid"),
        "option": url + "?application=very_secret",
    }[change]
    with pytest.raises(StageError) as caught:
        load(wrong, "SELECT 1 AS x")
    shown = f"{caught.value.message} {caught.value.hint}"
    assert "the database says" in shown
    for part in ("word", quote(PASSWORD, safe=""), ROLE, "127.0.0.1", "private_sales", "secret"):
        assert part not in shown.replace("password authentication", "")
    assert caught.value.__suppress_context__
