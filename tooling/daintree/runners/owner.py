"""Who owns a container: a sign of this process that tells, later and from another process, whether it is still alive."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """A process: its machine, this start of the machine and space of process ids, its id and when it began.

    `boot` and `began` are "" where the system does not tell; two processes of the same id are then not told apart.
    """

    machine: str
    boot: str
    process: int
    began: str


# Made before there are threads: msgspec crashes where one meets a type that another is describing.
_OWNER = msgspec.json.Decoder(Owner)


def this_process() -> Owner:
    """The owner of what this process starts."""
    return Owner(platform.node(), _boot(), os.getpid(), _began(os.getpid()))


def write_owner(owner: Owner) -> str:
    """The owner as a label's value."""
    return msgspec.json.encode(owner).decode()


def read_owner(text: str) -> Owner | None:
    """The owner in a label's value; None where there is none."""
    try:
        return _OWNER.decode(text.encode())
    except msgspec.DecodeError:
        return None


def has_died(owner: Owner) -> bool | None:
    """Whether the owner has ended; None where that cannot be told from here (another machine, another start of this one)."""
    if (owner.machine, owner.boot) != (platform.node(), _boot()):
        return None
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(owner.began) and _began(owner.process) != owner.began


def _boot() -> str:
    """This start of the machine and this space of process ids: in another one the same id is another process."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{started} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(process: int) -> str:
    try:
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return ""
    # The name in parentheses may hold anything; the time of the start is the 20th field after it.
    return status.rpartition(b")")[2].split()[19].decode("ascii")
