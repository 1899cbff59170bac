"""Rows of SQLite, and queries that cannot be run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import main
import pytest
from conftest import Load
from query import is_ordered
from stageio import StageError


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE sales (id TEXT, who TEXT, price REAL, n INTEGER, raw BLOB)")
        rows = [("0000031852", None, 0.1, 1, b"\0\xff"), ("NA", "", 2.0, None, None)]
        database.executemany("INSERT INTO sales VALUES (?, ?, ?, ?, ?)", rows)
    return f"sqlite:///{path}"


def test_the_rows_of_a_query_come_as_text(load: Load, url: str) -> None:
    assert load(url, "SELECT * FROM sales ORDER BY id DESC") == [
        ["id", "who", "price", "n", "raw"],
        ["NA", "", "2.0", r"\N", r"\N"],
        ["0000031852", r"\N", "0.1", "1", "00ff"],
    ]


def test_without_an_order_rows_are_sorted_up_to_a_limit(load: Load, url: str) -> None:
    query = "SELECT id FROM sales WHERE id IN (SELECT id FROM sales ORDER BY id)"
    assert load(url, query) == [["id"], ["0000031852"], ["NA"]]
    with pytest.raises(StageError, match=r"q\.sql: more than 1 rows, and no ORDER BY") as caught:
        load(url, query, max_unordered=1)
    assert "--max-unordered" in caught.value.hint


def test_null_has_the_text_that_is_chosen(load: Load, url: str) -> None:
    query = "SELECT id, who FROM sales"
    assert load(url, query, null="NULL")[1] == ["0000031852", "NULL"]
    assert load(url, query, null="")[1] == ["0000031852", ""]
    with pytest.raises(StageError, match="row 2, column id: the text is 'NA'") as caught:
        load(url, query, null="NA")
    assert "--null" in caught.value.hint


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("select a from t order\n by a", True),
        ("(select a from t) ORDER BY 1", True),
        ("select a from (select a from t order by a) as s", False),
        ("select row_number() over (order by a) from t", False),
        ("select a from t -- order by a", False),
        ("select a /* order by a */ from t", False),
        ("select ' order by ' from t", False),
        ('select "order by" from t', False),
        ("select $$ order by $$ from t", False),
        ("select ')' , (1) from t order by '('", True),
    ],
)
def test_the_order_is_that_of_the_query_itself(query: str, ordered: bool) -> None:
    assert is_ordered(query) is ordered


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DELETE FROM sales", "not one SELECT"),
        ("SELECT 1 AS a; SELECT 2 AS a", "not one SELECT"),
        ("", "not one SELECT"),
        ("SELECT id AS a, who AS a FROM sales", "the column 'a' comes twice"),
        ("SELECT id FROM sales WHERE 1 = 0", "the query gives no row"),
        ("SELECT absent FROM sales", "no such column: absent"),
    ],
)
def test_a_query_that_cannot_be_loaded_is_one_error(
    load: Load, url: str, query: str, message: str
) -> None:
    with pytest.raises(StageError, match=message):
        load(url, query)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:secret@there/shop", "of a kind that is not known"),
        ("secret", "cannot be read"),
        ("postgresql://me:secret@there:port/shop", "cannot be read"),
        ("sqlite:////nowhere/secret.db", "no such SQLite file"),
    ],
)
def test_a_url_that_is_none_is_not_repeated(load: Load, url: str, message: str) -> None:
    with pytest.raises(StageError, match=message) as caught:
        load(url, "SELECT 1 AS a")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_it_works_as_a_process_and_names_a_variable_that_is_missing(
    tmp_path: Path, url: str
) -> None:
    (tmp_path / "q.sql").write_text("SELECT id FROM sales ORDER BY id", encoding="utf-8")
    command = [sys.executable, main.__file__, "--input", str(tmp_path / "q.sql")]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    output = ["--output", str(tmp_path / "output")]
    failed = subprocess.run(
        [*command, *output], env=environment, stderr=subprocess.PIPE, check=False
    )
    assert failed.returncode == 1
    assert b"error: --url-variable: DATABASE_URL is not set\nhint: " in failed.stderr
    subprocess.run([*command, *output], env={**environment, "DATABASE_URL": url}, check=True)
    assert (tmp_path / "output" / "records.csv").read_bytes() == b"id\n0000031852\nNA\n"
