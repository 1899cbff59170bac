"""A stage's container, described: what it may see, write and use; the lines it prints; the process that owns it."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from daintree.images.registry import COMPONENT_LABEL, RUN_LABEL, VERSION_LABEL, is_loopback
from daintree.runners.child_process import Lines
from daintree.runners.runner import Job
from daintree.runners.variables import PROXIES
from daintree.settings import Settings
from daintree.spec.component import FIXED_VARIABLES
from daintree.store.s3 import S3Access, read_s3_access

APPLICATION = "/application"
DATA = f"{APPLICATION}/data"
INPUT = f"{DATA}/input"
OUTPUT = f"{DATA}/output"
SCRATCH = f"{DATA}/scratch"
CA_BUNDLE = f"{DATA}/ca-bundle.pem"
TEMPORARY = "/tmp"
# Some libraries compile code at run time and load it from there.
TEMPORARY_OPTIONS = "rw,exec,nosuid,nodev,mode=1777"

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


@dataclass(frozen=True)
class Mount:
    """A file or directory of this machine at a path in the container; read-only unless `writable`."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Container:
    """All that decides how a stage's container is run.

    `user` is "uid:gid"; `groups` are further group ids; `network` is none, bridge or host; `memory` is in bytes
    and `cpus` in cores (0: no limit); `gpus` is the number of devices; `pids` limits its processes and threads, `temporary` the bytes in /tmp (0: no limit). What holds for every stage (read-only root, no capabilities, a temporary
    file system at /tmp) is not repeated here. `variables` may hold the user's credentials.
    """

    name: str
    image: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    mounts: tuple[Mount, ...]
    user: str
    groups: tuple[str, ...]
    network: str
    memory: int
    cpus: float
    gpus: int
    pids: int
    temporary: int
    labels: Mapping[str, str]

    @property
    def temporary_options(self) -> str:
        """The options of the file system at /tmp."""
        size = f",size={self.temporary}" if self.temporary else ""
        return TEMPORARY_OPTIONS + size


class Capacity(msgspec.Struct, frozen=True):
    """The cores and the bytes of memory that an engine has, 0 where they are not known; `nvidia`, where it names NVIDIA's runtime."""

    cores: float = 0
    memory: int = 0
    nvidia: bool = False


def container_of(
    job: Job,
    outside: Mapping[str, str],
    settings: Settings,
    capacity: Capacity,
    *,
    user: str,
    groups: tuple[str, ...],
) -> Container:
    """The container of a job for an engine of this capacity; `outside` is this process's environment."""
    memory = bytes_of(job.resources.memory)
    remote = "://" in job.input
    network = job.network or remote
    access = read_s3_access(outside) if job.object_store else None
    bundle = os.path.realpath(access.ca_bundle) if access and access.ca_bundle else ""
    certificates = [Mount(bundle, CA_BUNDLE)] if bundle else []
    return Container(
        name=f"daintree-{job.run}",
        image=job.prepared.image,
        command=("--input", job.input if remote else INPUT, "--output", OUTPUT, *job.arguments),
        variables=container_variables(
            outside,
            network=network,
            names=job.env,
            access=access,
            ca_bundle=CA_BUNDLE if certificates else "",
        ),
        mounts=(
            *_read_only(job),
            Mount(str(job.output), OUTPUT, writable=True),
            Mount(str(job.scratch), SCRATCH, writable=True),
            *certificates,
        ),
        user=user,
        groups=groups,
        network=_network(access) if access else "bridge" if network else "none",
        memory=memory,
        cpus=min(job.resources.cpu, capacity.cores or job.resources.cpu),
        gpus=job.resources.gpu,
        pids=settings.docker_pids,
        # Files in /tmp are memory: a stage that fills it must not take what the engine has for others.
        temporary=settings.docker_tmp or (memory or capacity.memory) // 4,
        labels={COMPONENT_LABEL: job.component, VERSION_LABEL: job.version, RUN_LABEL: job.run},
    )


def container_variables(
    outside: Mapping[str, str],
    *,
    network: bool,
    names: Collection[str] = (),
    access: S3Access | None = None,
    ca_bundle: str = "",
) -> dict[str, str]:
    """The variables of a stage in a container, where `ca_bundle` is a path.

    Of `outside` pass the user's name, the `names` that the component declares, with a `network` the proxies that lead out of
    it, and for a stage that reads an object store its `access`. The result may hold credentials: never to be shown or recorded.
    """
    passed = {
        name: value
        for name, value in outside.items()
        if (network and name.lower() in PROXIES) or name in names
    }
    if access is not None:
        passed |= access.variables(outside, ca_bundle)
    user = outside.get("USER") or outside.get("LOGNAME") or "stage"
    own = {"HOME": TEMPORARY, "USER": user, "LOGNAME": user, "TMPDIR": SCRATCH}
    return {**passed, **FIXED_VARIABLES, **own}


def bytes_of(memory: str) -> int:
    """An amount such as "512Mi" in bytes; 0 for ""."""
    return int(memory[:-2]) * _UNITS[memory[-2:]] if memory else 0


def command_line(container: Container, *options: str, command: tuple[str, ...]) -> list[str]:
    """`docker run …` for this container, with more options and another command; removed when it ends.

    Variables are named only: their values are to be in the environment of the process.
    """
    line = ["docker", "run", "--rm", "--init", "--read-only", "--cap-drop=ALL"]
    line += [
        "--security-opt=no-new-privileges",
        f"--tmpfs={TEMPORARY}:{container.temporary_options}",
    ]
    line += [f"--pids-limit={container.pids}"]
    line += [f"--name={container.name}", f"--network={container.network}"]
    line += [f"--user={container.user}", *(f"--group-add={group}" for group in container.groups)]
    if container.memory:
        line += [f"--memory={container.memory}", f"--memory-swap={container.memory}"]
    if container.cpus:
        line.append(f"--cpus={container.cpus:g}")
    if container.gpus:
        line.append(f"--gpus={container.gpus}")
    for mount in container.mounts:
        line.append(f"--mount={_mount_option(mount)}")
    line += [f"--env={name}" for name in sorted(container.variables)]
    line += [f"--label={name}={value}" for name, value in sorted(container.labels.items())]
    return [*line, *options, container.image, *command]


def _read_only(job: Job) -> list[Mount]:
    """The input; for a shell the links in the place of the version's files, and what they lead to, at the same paths as on this machine."""
    mounts = [
        Mount(str(place), f"{INPUT}/{name}".rstrip("/")) for name, place in job.places.items()
    ]
    links, targets = job.working_tree[:1], job.working_tree[1:]
    mounts += [Mount(str(place), APPLICATION) for place in links]
    return mounts + [Mount(str(place), str(place)) for place in targets]


def _network(access: S3Access) -> str:
    """The network that reaches an object store: one that listens on this machine alone needs this machine's."""
    return "host" if is_loopback(urlsplit(access.endpoint).netloc.lower()) else "bridge"


def _mount_option(mount: Mount) -> str:
    """The value of `--mount`: fields of CSV, which are quoted where they hold a comma or a quote."""
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    fields += [] if mount.writable else ["readonly"]
    quoted = [f'"{f.replace(chr(34), chr(34) * 2)}"' if set(f) & set(',"\n') else f for f in fields]
    return ",".join(quoted)


_HEAD = 8
STDOUT, STDERR = 1, 2


class Frames:
    """Cuts the engine's stream into lines, those of each of the container's streams by themselves.

    The order of lines is that in which the engine sent them: it is kept within a stream, but what went to both
    streams within an instant may change places. `secrets` are masked.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._rest = bytearray()
        self._lines = {kind: Lines(secrets=secrets) for kind in (STDOUT, STDERR)}

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes."""
        self._rest += chunk
        streams = ((self._lines.get(k, self._lines[STDOUT]), part) for k, part in self._frames())
        return [line for lines, part in streams for line in lines.feed(part)]

    def finish(self) -> list[str]:
        """The rest of either stream once the engine has sent all."""
        return [line for lines in self._lines.values() for line in lines.finish()]

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        start = 0
        while len(self._rest) >= start + _HEAD:
            end = start + _HEAD + int.from_bytes(self._rest[start + 4 : start + _HEAD], "big")
            if len(self._rest) < end:
                break
            yield self._rest[start], bytes(self._rest[start + _HEAD : end])
            start = end
        del self._rest[:start]


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """A process: its machine, this start of the machine and space of process ids, its id and the time of its start.

    `boot` and `began` are "" where the system does not tell; two processes of the same id are then not told apart.
    """

    machine: str
    boot: str
    process: int
    began: str


# Made before there are threads: msgspec crashes where one meets a type that another is describing.
_OWNER = msgspec.json.Decoder(Owner)


def this_process() -> Owner:
    """The owner of the containers that this process starts."""
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
    """True once the owner has ended; None where that cannot be told from here (another machine, another start of this one)."""
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
