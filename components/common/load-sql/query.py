"""The query of a file, and whether its rows come in an order."""

import re
from pathlib import Path

from stageio import StageError

# What may hold any text: comments, strings, quoted names.
QUOTED = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$""", re.S
)


def read_query(source: Path) -> tuple[Path, str]:
    """The file of `source`, or the one *.sql file in it, and its query. Raises StageError."""
    hint = "the input is one file of one SELECT"
    files = [source] if source.is_file() else sorted(source.glob("*.sql"))
    if len(files) != 1:
        raise StageError(f"{source}: {len(files)} files *.sql", hint)
    try:
        query = files[0].read_text(encoding="utf-8-sig").strip().rstrip(";").rstrip()
    except UnicodeError as error:
        raise StageError(f"{files[0].name}: not UTF-8: {error}", hint) from None
    bare = QUOTED.sub(" ", query).strip()
    if ";" in bare or not re.match(r"\(*\s*(select|with|values|table)\b", bare, re.I):
        raise StageError(f"{files[0].name}: not one SELECT", hint)
    return files[0], query


def is_ordered(query: str) -> bool:
    """Whether the query itself, not only one inside of it, says ORDER BY."""
    bare, inner = "", QUOTED.sub(" ", query)
    while bare != inner:
        bare, inner = inner, re.sub(r"\([^()]*\)", " ", inner)
    return bool(re.search(r"\border\s+by\b", bare, re.I))
