"""The two streams of a container in the one stream that the engine sends: frames of a kind, a length and bytes."""

from __future__ import annotations

from collections.abc import Iterator

from daintree.runners.lines import Lines

_HEAD = 8
STDOUT, STDERR = 1, 2


class Frames:
    """Cuts the engine's stream into lines, those of each of the container's streams by themselves.

    The order of lines is that in which the engine sent them: it is kept within a stream, but what went to both
    streams within an instant may change places.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lines = {STDOUT: Lines(), STDERR: Lines()}

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes."""
        self._rest += chunk
        return [line for kind, part in self._frames() for line in self._of(kind).feed(part)]

    def finish(self) -> list[str]:
        """What is left of either stream once the engine has sent all."""
        return [line for lines in self._lines.values() for line in lines.finish()]

    def _of(self, kind: int) -> Lines:
        return self._lines.get(kind, self._lines[STDOUT])

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        start = 0
        while len(self._rest) >= start + _HEAD:
            end = start + _HEAD + int.from_bytes(self._rest[start + 4 : start + _HEAD], "big")
            if len(self._rest) < end:
                break
            yield self._rest[start], bytes(self._rest[start + _HEAD : end])
            start = end
        del self._rest[:start]
