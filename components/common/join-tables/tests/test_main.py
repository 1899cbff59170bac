from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import main
import pandas as pd
import pytest
from stageio import StageError, read_table, tables, write_table

Rows = list[list[str]]
Join = Callable[..., Rows]


@pytest.fixture
def join(tmp_path: Path) -> Join:
    """Joins two tables, each given as its header and its rows; the header and the rows of the result."""

    def rows(left: Rows, right: Rows, keys: str, kind: str = "inner") -> Rows:
        for name, (header, *body) in (("left", left), ("right", right)):
            (tmp_path / name).mkdir()
            write_table(
                tmp_path / name / "records.csv", pd.DataFrame(body, columns=header, dtype="str")
            )
        output = tmp_path / "output"
        output.mkdir()
        main.main(input=tmp_path, output=output, left="left", right="right", keys=keys, kind=kind)
        table = read_table(output / "records.csv")
        return [list(table), *table.to_numpy().tolist()]

    return rows


BOUGHT = [["order_id", "product_id"], ["2", "33120"], ["1", "049302"], ["2", "28985"], ["9", "x"]]
ORDERS = [["order_id", "user_id"], ["1", "112108"], ["2", "NA"], ["3", "7"]]


def test_orders_of_instacart_get_their_users(
    join: Join, capsys: pytest.CaptureFixture[str]
) -> None:
    assert join(BOUGHT, ORDERS, "order_id") == [
        ["order_id", "product_id", "user_id"],
        ["2", "33120", "NA"],
        ["1", "049302", "112108"],
        ["2", "28985", "NA"],
    ]
    said = "rows: 3; rows without a partner: 1 of left, 1 of right\n"
    assert capsys.readouterr().err == said


def test_a_row_without_a_partner_may_stay_with_empty_cells(join: Join) -> None:
    assert join(BOUGHT, ORDERS, "order_id", kind="left")[-1] == ["9", "x", ""]


def test_keys_are_text_and_may_have_other_names(join: Join) -> None:
    right = [["id", "day", "name"], ["01", "1", "a"], ["1", "1", "b"], ["1", "1", "c"]]
    assert join([["key", "day"], ["1", "1"]], right, "key=id, day") == [
        ["key", "day", "name"],
        ["1", "1", "b"],
        ["1", "1", "c"],
    ]


def test_a_large_left_table_is_joined_in_parts(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 2)
    assert len(join(BOUGHT, ORDERS, "order_id")) == 4


@pytest.mark.parametrize(
    ("right", "keys", "message"),
    [
        (ORDERS, "order", "no column 'order'"),
        (ORDERS, "", "--keys: no key"),
        ([["order_id", "product_id"], ["1", "x"]], "order_id", "both tables that is no key: 'product_id'"),
        ([["id", "order_id"], ["1", "x"]], "order_id=id", "both tables that is no key: 'order_id'"),
        (ORDERS, "order_id,product_id=order_id", "'order_id,product_id=order_id' has a column twice"),
        (ORDERS, "order_id,order_id=user_id", "--keys: .* has a column twice"),
        ([["order_id", "a"], ["7", "x"]], "order_id", "no row is left"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_an_error(
    join: Join, right: Rows, keys: str, message: str
) -> None:
    with pytest.raises(StageError, match=message):
        join(BOUGHT, right, keys)
