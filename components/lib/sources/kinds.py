"""Kinds of files that are no records, known by how they start."""

import re

from stageio import StageError

ICONV, TABLE = "convert it to UTF-8, e.g. by iconv", "load it by common/load-table"
# How a file starts: what it is, and what to do.
BINARY = {
    rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff|.\0.\0|\0.\0.": ("UTF-16 or UTF-32", ICONV),
    rb"\x1f\x8b|BZh[1-9]|\xfd7zXZ|PK\x03\x04": ("packed data in packed data", "unpack it once"),
    rb"\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!\x1a|\x1f\x9d": ("zstd, 7z, rar or compress", "unpack it"),
    rb"%PDF|\x89PNG|\xff\xd8\xff|GIF8|RD[AX]\d\n": ("PDF, an image or R's data", "write it as CSV"),
    rb"version https://git-lfs": ("a pointer of Git LFS", "get the file by git lfs pull"),
    rb"(?s:.{257})ustar": ("a tar archive", "unpack it, and load the files of one table"),
    rb"SQLite format 3": ("an SQLite database", "load it by common/load-sql"),
    rb"\xd0\xcf\x11\xe0": ("an Excel workbook", "save it as CSV"),
    rb"ARROW1|ORC[\0-\x1f]|Obj\x01|\x89HDF": ("Arrow, ORC, Avro or HDF5", "write it as Parquet"),
    rb"\x93NUMPY|\x80[\2-\5]": ("NumPy's or Python's own data", "write it as Parquet or CSV"),
    rb"(?i)\s*<(\?xml|!doctype|html)": ("XML or HTML", "is it the page of an error or a log-in?"),
}
TEXT = {
    rb"PAR1": ("Parquet, not JSON", TABLE),
    rb"\s*\[": ("a JSON array over several lines", "write one object a line: jq -c '.[]'"),
    rb"\s*\{\s*'": ("single-quoted Python records", "write each by json.dumps(literal_eval(line))"),
    rb'\s*\{\s*"[^"]*"\s*:\s*\[': ("a JSON object around a list", "take the list: jq -c '.[][]'"),
    rb"\s*\{(.*[,{\[])?\s*$": ("a JSON object over several lines", "one object a line: jq -c ."),
    rb"\s*\{.*\}\s*\{": ("JSON objects without line breaks", "one object a line: jq -c ."),
    rb"[^{]*\t": ("tab-separated, not JSON", f"{TABLE}, delimiter: tab"),
    rb"[^{]*::": ("separated by ::, not JSON", f"{TABLE}, delimiter: '::'"),
    rb"[^{]*[,;]": ("comma-separated, not JSON", TABLE),
}


def check_kind(name: str, start: bytes, kinds: dict[bytes, tuple[str, str]]) -> None:
    """Raise StageError for a file that starts as one of these kinds does."""
    for pattern, (kind, hint) in kinds.items():
        if re.match(pattern, start):
            raise StageError(f"{name}: {kind}", hint)
