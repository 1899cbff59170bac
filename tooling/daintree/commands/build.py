"""`doit build`: images of components, built where they are missing, and pushed."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TextIO

from daintree.commands.command import DaintreeCommand, option, print_result, shared
from daintree.components import discover_images
from daintree.errors import UsageError
from daintree.images.build import Listener, Request, Result, build_images
from daintree.settings import Settings
from daintree.spec.document import cache_documents
from daintree.terminal import colour, columns, count, duration, erase

# The labels are steps of their own to the engine, and nothing that anybody waits for.
_STEP = re.compile(r"Step (\d+)/(\d+) : (?!LABEL )(.*)")
_BAR = 12
_SHADES = {"present": "dim", "built": "green", "failed": "red", "would-build": "yellow"}


def progress(width: int, stream: TextIO) -> Listener:
    """The listener for a stream; names are `width` wide."""
    return Bars(width, stream) if stream.isatty() else Lines(width, stream)


class Lines(Listener):
    """Each event as a line of its own."""

    def __init__(self, width: int, stream: TextIO) -> None:
        self._width = width
        self._stream = stream

    def builder(self, description: str) -> None:
        self.print(colour(f"images are built with {description}", "dim", self._stream))

    def starting(self, name: str, reasons: tuple[str, ...]) -> None:
        self._tell(name, "build", "yellow", "; ".join(reasons))

    def line(self, name: str, text: str) -> None:
        # The builder's steps, not all that they print.
        if _STEP.match(text):
            self._tell(name, "|", "dim", text)

    def finished(self, result: Result, seconds: float) -> None:
        self._tell(result.name, *_ended(result, seconds))

    def note(self, name: str, text: str) -> None:
        self._tell(name, "note", "cyan", text)

    def warning(self, text: str) -> None:
        self.print(colour("warning: ", "yellow", self._stream) + text)

    def print(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _tell(self, name: str, status: str, shade: str, text: str) -> None:
        shown = colour(status.ljust(6), shade, self._stream)
        self.print(f"{name.ljust(self._width)}  {shown}  {text}".rstrip())


class Bars(Lines):
    """Below the lines, one bar for each image that is being built."""

    def __init__(self, width: int, stream: TextIO) -> None:
        super().__init__(width, stream)
        self._bars: dict[str, str] = {}
        self._drawn = 0
        self._lock = threading.RLock()

    def starting(self, name: str, reasons: tuple[str, ...]) -> None:
        with self._lock:
            self._bars[name] = self._bar(0, 1, "; ".join(reasons))
            self._draw()

    def line(self, name: str, text: str) -> None:
        step = _STEP.match(text)
        with self._lock:
            if step:
                self._bars[name] = self._bar(int(step[1]) - 1, int(step[2]), step[3])
            else:
                bar = self._bars.get(name, "")[: _BAR + 2]
                self._bars[name] = f"{bar}  {text.strip()}"
            self._draw()

    def finished(self, result: Result, seconds: float) -> None:
        with self._lock:
            self._bars.pop(result.name, None)
            super().finished(result, seconds)

    def print(self, text: str) -> None:
        """A whole line above the bars."""
        with self._lock:
            self._erase()
            super().print(text)
            self._draw()

    def _bar(self, done: int, whole: int, text: str) -> str:
        filled = _BAR * done // whole
        return f"[{'#' * filled}{'.' * (_BAR - filled)}]  {text}"

    def _erase(self) -> None:
        if self._drawn:
            erase(self._stream, self._drawn)
        self._drawn = 0

    def _draw(self) -> None:
        import shutil

        self._erase()
        room = shutil.get_terminal_size().columns - 1
        for name, bar in self._bars.items():
            self._stream.write(f"{name.ljust(self._width)}  {bar}"[:room] + "\n")
        self._drawn = len(self._bars)
        self._stream.flush()


def _ended(result: Result, seconds: float) -> tuple[str, str, str]:
    """(status, colour, words) of an image that is done with."""
    if result.error is not None:
        return "failed", "red", result.error.message.partition("\n")[0]
    what = f"{result.action}, {duration(seconds)}"
    if result.pushed:
        what = f"built and pushed, {duration(seconds)}, {result.digest}"
    return "done", "green", what


_SHOWN = ("name", "version", "action", "image", "digest", "pushed")


def build_as_json(results: Sequence[Result]) -> dict[str, Any]:
    """The results as `doit build --json` prints them."""
    return {
        "components": [
            {name: getattr(result, name) for name in _SHOWN} | {"reasons": list(result.reasons)}
            for result in results
        ]
    }


def build_table(results: Sequence[Result]) -> list[str]:
    """A row a component, and a line that counts them."""
    rows = [
        [result.name, result.action, result.image or "-", "; ".join(result.reasons)]
        for result in results
    ]
    return [*columns(rows, indent=""), build_summary(results)]


def build_summary(results: Sequence[Result]) -> str:
    """Numbers of images that are present, built, pushed and failed, and how many aliases were set."""
    by_action = {
        action: sum(1 for result in results if result.action == action) for action in _SHADES
    }
    counted = [f"{number} {action}" for action, number in by_action.items() if number]
    pushed = sum(1 for result in results if result.pushed)
    aliases = sum(len(result.aliases) for result in results)
    more = [f"{pushed} pushed"] if pushed else []
    more += [f"{count(aliases, 'tag')} set"] if aliases else []
    return ", ".join([*counted, *more]) or "no component to build"


def complaints(results: Sequence[Result]) -> list[str]:
    """Each error's message once, as they stand at the end of a build, and after those with one hint that hint."""
    messages: dict[str, dict[str, None]] = {}
    for error in (result.error for result in results if result.error is not None):
        messages.setdefault(error.hint, {})[f"error: {error.message}"] = None
    return [
        line
        for hint, errors in messages.items()
        for line in (*errors, *([f"hint: {hint}"] if hint else []))
    ]


class BuildImages(DaintreeCommand):
    """Builds the images of components whose version has none yet."""

    name = "build"
    doc_usage = "[COMPONENT …] [--base REF] [--push] [--all] [--jobs N] [--dry-run] [--json]"
    doc_description = (
        "An image is missing when the registry (without one, the Docker engine) has no tag of the component's version. "
        "What is there already is left alone, and no engine is needed to find that out."
    )
    cmd_options = (
        option("base", "only the components that differ since this commit"),
        option("push", "push to the registry; refuses what is not committed", type=bool),
        option("all", "build anew what is there already, too", type=bool),
        option(
            "jobs", "how many are built at the same time (default: the setting `jobs`)", type=int
        ),
        option("dry_run", "only say what would be built", type=bool),
        *shared("json"),
    )
    names = (0, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        settings = self.settings
        selected = [name.removeprefix("components/").rstrip("/") for name in names]
        request = Request(
            names=tuple(selected or discover_images(settings.root)),
            base=options["base"],
            push=options["push"],
            everything=options["all"],
            dry_run=options["dry_run"],
            jobs=_jobs(options["jobs"], settings),
        )
        results = _build(settings, request)
        print_result(options["json"], lambda: build_as_json(results), lambda: build_table(results))
        errors = complaints(results)
        print("\n".join(errors), end="\n" if errors else "", file=sys.stderr)
        return 1 if errors else 0


def _build(settings: Settings, request: Request) -> list[Result]:
    """Build in the project that the settings are of, with progress on stderr. Raises as `build_images` does."""
    cache_documents(settings.documents)
    width = max(map(len, request.names), default=0)
    listener = progress(width, sys.stderr)
    meanwhile = _import_http if settings.registry else None
    results = build_images(settings, request, listener, meanwhile)
    made = [result.name for result in results if result.action in ("built", "would-build")]
    if made:
        from daintree.authoring.lock_requirements import stale_locks

        for warning in stale_locks(settings.root, made):
            listener.warning(warning)
    return results


def _import_http() -> None:
    """Import early what the first request to a registry imports otherwise."""
    for name in ("http.client", "encodings.idna"):
        import_module(name)


def _jobs(given: int, settings: Settings) -> int:
    if given < 0:
        raise UsageError(f"--jobs {given}: expected a number from 1 on")
    return given or settings.jobs
