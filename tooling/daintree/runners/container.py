"""A stage's container, described: what it may see, write and use. Pure: nothing here talks to an engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from daintree.image import labels
from daintree.runners.protocol import Job
from daintree.runners.variables import container_variables

APPLICATION = "/application"
DATA = f"{APPLICATION}/data"
INPUT = f"{DATA}/input"
OUTPUT = f"{DATA}/output"
SCRATCH = f"{DATA}/scratch"
TEMPORARY = "/tmp"
# Some libraries compile code at run time and load it from there.
TEMPORARY_OPTIONS = "rw,exec,nosuid,nodev,mode=1777"

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")


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
    and `cpus` in cores (0: no limit). What holds for every stage (read-only root, no capabilities, a temporary
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
    labels: Mapping[str, str]


def container_of(
    job: Job, outside: Mapping[str, str], *, user: str, groups: tuple[str, ...], cores: float
) -> Container:
    """The container of a job, for an engine with so many cores; `outside` is this process's environment."""
    remote = "://" in job.input
    network = job.network or remote
    return Container(
        name=f"daintree-{job.run}",
        image=job.prepared.image,
        command=("--input", job.input if remote else INPUT, "--output", OUTPUT, *job.arguments),
        variables=container_variables(
            outside, home=TEMPORARY, scratch=SCRATCH, network=network, object_store=remote
        ),
        mounts=(
            *(Mount(str(place), _below(INPUT, name)) for name, place in job.places.items()),
            Mount(str(job.output), OUTPUT, writable=True),
            Mount(str(job.scratch), SCRATCH, writable=True),
        ),
        user=user,
        groups=groups,
        network=_network(outside) if remote else "bridge" if network else "none",
        memory=bytes_of(job.resources.memory),
        cpus=min(job.resources.cpu, cores),
        labels={
            labels.COMPONENT: job.component,
            labels.VERSION: job.version,
            labels.RUN: job.run,
        },
    )


def bytes_of(memory: str) -> int:
    """An amount such as "512Mi" in bytes; 0 for ""."""
    return int(memory[:-2]) * _UNITS[memory[-2:]] if memory else 0


def command_line(container: Container, *options: str, command: tuple[str, ...]) -> list[str]:
    """`docker run …` for this container, with more options and another command; removed when it ends.

    Variables are named only: their values are to be in the environment of the process.
    """
    line = ["docker", "run", "--rm", "--init", "--read-only", "--cap-drop=ALL"]
    line += ["--security-opt=no-new-privileges", f"--tmpfs={TEMPORARY}:{TEMPORARY_OPTIONS}"]
    line += [f"--name={container.name}", f"--network={container.network}"]
    line += [f"--user={container.user}", *(f"--group-add={group}" for group in container.groups)]
    if container.memory:
        line += [f"--memory={container.memory}", f"--memory-swap={container.memory}"]
    if container.cpus:
        line.append(f"--cpus={container.cpus:g}")
    for mount in container.mounts:
        line.append(f"--mount={_mount_option(mount)}")
    line += [f"--env={name}" for name in sorted(container.variables)]
    line += [f"--label={name}={value}" for name, value in sorted(container.labels.items())]
    return [*line, *options, container.image, *command]


def _below(directory: str, name: str) -> str:
    return f"{directory}/{name}" if name else directory


def _network(outside: Mapping[str, str]) -> str:
    """How an object store is reached: one that listens on this machine alone needs this machine's network."""
    endpoint = outside.get("MINIO_ENDPOINT") or outside.get("AWS_ENDPOINT_URL") or ""
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
    return "host" if _LOOPBACK.fullmatch(host) else "bridge"


def _mount_option(mount: Mount) -> str:
    """The value of `--mount`: fields of CSV, which are quoted where they hold a comma or a quote."""
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    fields += [] if mount.writable else ["readonly"]
    quoted = [f'"{f.replace(chr(34), chr(34) * 2)}"' if set(f) & set(',"\n') else f for f in fields]
    return ",".join(quoted)
