"""Commands that doit calls: one module each, and the tasks that a project's dodo.py offers."""

import sys

if sys.platform == "win32":
    raise SystemExit(
        "error: Daintree's tooling runs on Linux, macOS and WSL, not on Windows itself\n"
        "hint: install WSL (wsl --install) and work in there"
    )
