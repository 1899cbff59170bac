"""A pipeline in the short form, for tests of what it says and of where it lies."""

from __future__ import annotations

SHORT = "source: data/x.json.gz\noutput: out\nstages: [common/load, common/clean]\n"
