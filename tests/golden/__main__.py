"""`python -m tests.golden [NAME …]` writes what the program prints now into those transcripts (or all); see `git diff`."""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    names = " or ".join(f"transcript-{name}" for name in sys.argv[1:])
    chosen = ["-k", names] if names else []
    sys.exit(pytest.main(["-q", "tests/e2e/test_golden_screens.py", "--renew-screens", *chosen]))
