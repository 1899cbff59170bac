"""`python -m tests.documentation PAGE…` writes what the program prints now into the pages, and keeps their `…`.

In a new screen a line `?` asks for all lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.documentation.page import blocks, needs_registry, needs_store
from tests.documentation.reader import Reader, laptop
from tests.documentation.screens import renewed


def rewritten(page: str, reader: Reader) -> str:
    """The page with what its commands print now."""
    parts, position = [], 0
    for block in blocks(page):
        lines = []
        for command, printed in reader.follow(block):
            lines += [f"$ {command.text}"] if block.kind == "console" else []
            lines += renewed(command.shown, printed)
        if lines:
            parts += [page[position : block.span[0]], "".join(line + "\n" for line in lines)]
            position = block.span[1]
    return "".join([*parts, page[position:]])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what the program prints now into pages."""
    parser = argparse.ArgumentParser(prog="python -m tests.documentation", description=main.__doc__)
    parser.add_argument("pages", metavar="PAGE", nargs="+", type=Path)
    for path in parser.parse_args(arguments).pages:
        page = path.read_text(encoding="utf-8")
        with laptop() as reader, ExitStack() as services:
            if needs_registry(page):
                from tests.services.registry import serve

                (reader.home / "registry").mkdir()
                served = services.enter_context(serve(reader.home / "registry"))
                reader.use_registry(f"{served.address}/ml")
            if needs_store(page):
                from tests.services.minio import running_server, variables

                reader.use_store(variables(running_server().access))
            reader.catch_up(path)
            path.write_text(rewritten(page, reader), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
