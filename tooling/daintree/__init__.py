"""Daintree's build system for machine learning: components, pipelines and the runs they leave behind.

In a notebook: `output`, `read`, `metrics`, `runs`, `plan` and `run` of the project around it, and their `Error`.
"""

__version__ = "0.1.0"

__all__ = ["Error", "metrics", "output", "plan", "read", "run", "runs"]


def __getattr__(name: str) -> object:
    """Import what a notebook calls when it is asked for: no command pays for it. Raises AttributeError."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("daintree.commands.notebook"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
