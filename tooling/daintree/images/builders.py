"""Builders of images: BuildKit, through the `docker` command, since the SDK has no client for it, else the engine's API.

What they build of is a tar of exactly a version's files, the same bytes wherever it is made, and the labels of the image.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import stat
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec

from daintree import __version__
from daintree.components import DOCKERFILE, read_instructions, with_pins, with_platform
from daintree.digest import short
from daintree.errors import EngineError, ImageError
from daintree.images.engine import connected, engine_refusal, registry_hint
from daintree.images.registry import (
    BUILT_BY_LABEL,
    COMPONENT_LABEL,
    CREATED_LABEL,
    REVISION_LABEL,
    SPEC_LABEL,
    VERSION_LABEL,
)
from daintree.images.registry_auth import config_directory, merged_config
from daintree.process import capture, stream
from daintree.settings import Settings

if TYPE_CHECKING:
    import tarfile

    from docker import APIClient

    from daintree.components import ComponentVersion

OnLine = Callable[[str], None]

LAST_LINES = 15
# No attestation: with one, the digest of a push would be an index's, not the image's.
_SWITCHES = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "NO_COLOR": "1"}
_STEP = re.compile(r"#\d+ \[(?:\S+ )*(\d+)/(\d+)\] (.*)")
_OUTPUT = re.compile(r"#\d+ \d+\.\d+ (.*)")
_PREFIXES = re.compile(
    r"(?:ERROR: |failed to build: |failed to solve(?: with frontend [\w.]+)?: |failed to create LLB definition: |rpc error: code = \w+ desc = )+"
)
# The flags that the classic builder knows of the instructions that have others in BuildKit.
_CLASSIC_FLAGS = ("--chown", "--from")
_OF_PLATFORM = re.compile(r"\$\{?(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)\b")
_STEP_FAILED = re.compile(r"returned a non-zero code|did not complete successfully")
_NO_SUCH_WORD = re.compile(r"unknown instruction|unknown flag|dockerfile parse error", re.I)
_HOST = re.compile(r"https?://([^/\s\"]+)")
_NO_COMMAND = "no `docker` command here can"
INSTALL_BUILDKIT = (
    "install Docker's buildx component: the package docker-buildx-plugin, or docker-buildx"
)


# 1980-01-01, as in snapshots: the earliest time every archive format can hold.
FIXED_TIME = 315_532_800


class BuildInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that an image is built of: the context as a tar, the Dockerfile in it, and what the builder is told."""

    context: bytes
    dockerfile: bytes
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    reference: str
    platform: str
    fresh: bool = False

    @property
    def action(self) -> str:
        """The build in the words of an error."""
        return f"build {self.reference}"


class Origin(msgspec.Struct, frozen=True):
    """The commit of a version's files ("" when they are in none), its repository, and its time.

    `created` is an ISO 8601 time: the commit's, or that of the build of what is not committed.
    """

    commit: str
    source: str
    created: str


def build_input(
    version: ComponentVersion,
    snapshot: Path,
    reference: str,
    origin: Origin,
    *,
    fresh: bool = False,
) -> BuildInput:
    """The input to build the image of a version from its snapshot; `fresh` uses nothing built before.

    Raises ImageError when the snapshot cannot be read.
    """
    build_args = version.spec.build_args
    arguments = with_platform(build_args, version.platform)
    try:
        dockerfile = (snapshot / DOCKERFILE).read_bytes()
        pinned = with_pins(dockerfile, arguments, dict(version.bases))
        context = build_context(snapshot, [file.path for file in version.files], pinned)
    except OSError as error:
        raise ImageError(f"{snapshot} cannot be read: {error.strerror}") from None
    return BuildInput(
        context=context,
        dockerfile=pinned,
        build_args=build_args,
        labels=image_labels(version, origin),
        reference=reference,
        platform=version.platform,
        fresh=fresh,
    )


def image_labels(version: ComponentVersion, origin: Origin) -> dict[str, str]:
    """The labels of a version's image."""
    labels = {
        COMPONENT_LABEL: version.name,
        VERSION_LABEL: version.digest,
        SPEC_LABEL: msgspec.json.encode(version.spec).decode("utf-8"),
        "org.opencontainers.image.title": version.name,
        "org.opencontainers.image.description": version.spec.description,
        "org.opencontainers.image.version": short(version.digest),
        REVISION_LABEL: origin.commit,
        "org.opencontainers.image.source": public_url(origin.source),
        CREATED_LABEL: origin.created,
        BUILT_BY_LABEL: f"daintree {__version__}",
    }
    return {name: value for name, value in labels.items() if value}


def public_url(url: str) -> str:
    """A repository's address without user, password and query; "" when it is no address on the network."""
    if "://" not in url:
        # git's short form of ssh: user@host:path.
        host, colon, path = url.partition(":")
        return f"ssh://{host.rpartition('@')[2]}/{path}" if colon and "/" not in host else ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ssh", "git"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def build_context(snapshot: Path, paths: Sequence[str], dockerfile: bytes) -> bytes:
    """A tar of these files of a snapshot, with `dockerfile` for its Dockerfile.

    Owners, times, order and modes (0755 or 0644, so that any user can read them) do not depend on who makes it. Raises
    OSError as reading does.
    """
    # Imported here: a build with nothing to do makes none.
    import tarfile

    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        # First: Docker's command takes a tar that begins with the long header of another name than ASCII for a Dockerfile.
        if DOCKERFILE in paths:
            _add(archive, _member(DOCKERFILE, tarfile.REGTYPE, 0o644), dockerfile)
        for directory in _directories(paths):
            archive.addfile(_member(directory, tarfile.DIRTYPE, 0o755))
        for path in sorted({*paths} - {DOCKERFILE}):
            if os.path.islink(snapshot / path):
                member = _member(path, tarfile.SYMTYPE, 0o777)
                member.linkname = os.readlink(snapshot / path)
                archive.addfile(member)
            else:
                executable = (snapshot / path).stat().st_mode & stat.S_IXUSR
                member = _member(path, tarfile.REGTYPE, 0o755 if executable else 0o644)
                _add(archive, member, (snapshot / path).read_bytes())
    return written.getvalue()


def _directories(paths: Sequence[str]) -> list[str]:
    parents = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(parents - {"."})


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    import tarfile

    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, FIXED_TIME
    return member


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, content: bytes) -> None:
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


class ImageBuilder(Protocol):
    """The seam of whatever builds images: `tests/contract/` holds one suite that each of them passes."""

    @property
    def description(self) -> str:
        """Its name in a sentence, e.g. "BuildKit (/usr/bin/docker)"."""
        ...

    def build(self, build: BuildInput, on_line: OnLine) -> str:
        """Build an image and give it its reference; its id. `on_line` gets each line that the build prints.

        Raises ImageError when the build fails, EngineError when the engine does not answer.
        """
        ...


class ClassicBuilder(msgspec.Struct, frozen=True):
    """The builder behind the engine's API, which knows no BuildKit; `chosen` by the setting, or for want of a command."""

    chosen: bool = False

    @property
    def description(self) -> str:
        reason = "as the setting `builder` says" if self.chosen else f"{_NO_COMMAND} use BuildKit"
        return f"the engine's classic builder: {reason}"

    def build(self, build: BuildInput, on_line: OnLine) -> str:
        needed = buildkit_feature(build.dockerfile)
        if needed:
            raise ImageError(
                f"cannot {build.action}: its Dockerfile uses {needed}, which only BuildKit knows",
                hint="unset the setting `builder`" if self.chosen else INSTALL_BUILDKIT,
            )
        last: deque[str] = deque(maxlen=LAST_LINES)
        image = ""
        with connected(build.action) as client:
            for event in _events(client, build):
                if "error" in event:
                    raise build_failure(build.action, str(event["error"]), last)
                image = event.get("aux", {}).get("ID", image)
                for line in str(event.get("stream", "")).splitlines():
                    if line.strip():
                        last.append(line)
                        on_line(line)
        if not image:
            raise ImageError(f"cannot {build.action}: the engine ended without an image")
        return image


def _events(client: APIClient, build: BuildInput) -> Iterator[Mapping[str, Any]]:
    import docker.errors

    try:
        yield from client.build(
            fileobj=io.BytesIO(build.context),
            custom_context=True,
            encoding="identity",
            tag=build.reference,
            buildargs=dict(build.build_args),
            labels=dict(build.labels),
            platform=build.platform,
            nocache=build.fresh,
            # A base image that is here is used as it is: pins decide, not the moment.
            pull=False,
            rm=True,
            forcerm=True,
            decode=True,
        )
    except docker.errors.APIError as error:
        # A Dockerfile that cannot be read is refused before there are events.
        raise build_failure(build.action, str(error.explanation or error), ()) from error


class BuildKitBuilder(msgspec.Struct, frozen=True):
    """BuildKit behind a `docker` command.

    `secrets` names the variable of the environment that holds each secret, by the id that a Dockerfile mounts it under. With
    `inline_cache` an image carries the cache of its build, and builds read that of `:latest`.
    """

    program: str
    secrets: Mapping[str, str] = {}
    inline_cache: bool = False

    @property
    def description(self) -> str:
        return f"BuildKit ({self.program})"

    def build(self, build: BuildInput, on_line: OnLine) -> str:
        lines: deque[str] = deque(maxlen=LAST_LINES)
        notes: deque[str] = deque(maxlen=LAST_LINES)

        def follow(text: str) -> None:
            line = readable_line(text)
            if line is None:
                notes.extend([text.strip()] if text.strip() else [])
            elif line:
                lines.append(line)
                on_line(line)

        with tempfile.TemporaryDirectory(prefix="daintree-") as name, _environment() as env:
            id_file = Path(name) / "id"
            arguments = [*self._arguments(build), "--iidfile", str(id_file), "-"]
            code = stream(arguments, stdin=build.context, env=env, on_line=follow)
            if code or not id_file.exists():
                # Advice and addresses of pages may follow the error.
                errors = [note for note in notes if _PREFIXES.match(note)] or list(notes)
                reason = _PREFIXES.sub("", (errors or [f"exit code {code}"])[-1])
                unset = [s for s in secret_ids(build.dockerfile) if not self.secrets.get(s)]
                raise build_failure(build.action, reason, lines, unset)
            return id_file.read_text(encoding="ascii").strip()

    def _arguments(self, build: BuildInput) -> list[str]:
        arguments = [self.program, "build", "--progress=plain", "--tag", build.reference]
        arguments += ["--platform", build.platform, *(["--no-cache"] if build.fresh else [])]
        for name, value in build.build_args.items():
            arguments += ["--build-arg", f"{name}={value}"]
        for name, value in build.labels.items():
            arguments += ["--label", f"{name}={value}"]
        if self.inline_cache:
            latest = f"{build.reference.rpartition(':')[0]}:latest"
            arguments += ["--build-arg", "BUILDKIT_INLINE_CACHE=1", "--cache-from", latest]
        for secret in secret_ids(build.dockerfile):
            variable = self.secrets.get(secret, "")
            if variable and variable not in os.environ:
                raise ImageError(
                    f"cannot {build.action}: it mounts the secret {secret!r}, and the variable {variable} is not set",
                    hint=f"export {variable}=…; build_secrets in [tool.daintree] names it",
                )
            # By the variable's name: a value would stand in the list of processes.
            arguments += ["--secret", f"id={secret},env={variable}"] if variable else []
        return arguments


def open_builder(settings: Settings) -> ImageBuilder:
    """The builder that the setting `builder` asks for; by default BuildKit where a `docker` command has it.

    Raises EngineError where the setting asks for BuildKit and there is none.
    """
    program = "" if settings.builder == "classic" else find_buildkit()
    if program:
        return BuildKitBuilder(program, settings.build_secrets, settings.inline_cache)
    if settings.builder == "buildkit":
        raise EngineError(
            "no `docker` command on PATH can build with BuildKit", hint=INSTALL_BUILDKIT
        )
    return ClassicBuilder(chosen=settings.builder == "classic")


def build_version(
    version: ComponentVersion, snapshot: Path, reference: str, settings: Settings, announce: OnLine
) -> str:
    """Build the image of a version, which may be in no commit, for this machine; its id. `announce` gets a line that names the builder.

    Raises ImageError and EngineError.
    """
    builder = open_builder(settings)
    announce(f"building {reference} with {builder.description}, the first time only")
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    origin = Origin(commit="", source="", created=created)
    return builder.build(build_input(version, snapshot, reference, origin), lambda line: None)


def build_failure(
    action: str, reason: str, last: Iterable[str], unset_secrets: Sequence[str] = ()
) -> ImageError:
    """The error of a build: the builder's own words, then a hint that says what to do about them.

    `unset_secrets` are the ids that the Dockerfile mounts and no setting names.
    """
    reason = reason.strip()
    refusal = engine_refusal(action, reason)
    if refusal.hint:
        return refusal
    small = reason.lower()
    # A step that has failed is told with its command, which may say anything.
    host = _HOST.search(reason)
    registry = host[1] if host else "REGISTRY"
    unreached = "" if _STEP_FAILED.search(reason) else registry_hint(registry, reason)
    if unreached:
        hint = (
            f"an image that the Dockerfile names is not here and could not be pulled: {unreached}"
        )
    elif _NO_SUCH_WORD.search(reason):
        hint = (
            "the Dockerfile has a word that this Docker engine does not know: correct it, or begin the"
            " file with the line `# syntax=docker/dockerfile:1`, or use a newer engine"
        )
    elif unset_secrets or ("secret" in small and "not found" in small):
        name = next(iter(unset_secrets), "its id")
        hint = f"build_secrets in [tool.daintree] says which variable holds a secret: {name} = NAME"
    else:
        hint = "these are the build's own words: mend the step of the Dockerfile that they name"
    lines = "".join(f"\n  | {line}" for line in last)
    return ImageError(f"cannot {action}: {reason}{lines}", hint=hint)


def buildkit_feature(dockerfile: bytes) -> str:
    """The first thing in a Dockerfile that only BuildKit knows, such as `RUN --mount`; "" for none."""
    for instruction in read_instructions(dockerfile):
        if instruction.body != instruction.end:
            return f"a here-document of {instruction.name}"
        for flag in instruction.flags:
            name, _, value = flag.partition("=")
            if instruction.name in ("RUN", "COPY", "ADD") and name not in _CLASSIC_FLAGS:
                return f"{instruction.name} {name}"
            if instruction.name == "FROM" and _OF_PLATFORM.search(value):
                return f"FROM {flag}"
        if instruction.name == "FROM" and _OF_PLATFORM.search(instruction.rest):
            return f"FROM {instruction.rest}"
    return ""


def readable_line(text: str) -> str | None:
    """The line of a step, or of its output, in BuildKit's plain progress; "" for its own notes, None for all else."""
    if not text.startswith("#"):
        return None
    step = _STEP.match(text)
    if step:
        return f"Step {step[1]}/{step[2]} : {step[3]}"
    output = _OUTPUT.match(text)
    return output[1] if output else ""


def secret_ids(dockerfile: bytes) -> list[str]:
    """The ids of the secrets that a Dockerfile mounts, in its order."""
    ids: list[str] = []
    for mount in (m for instruction in read_instructions(dockerfile) for m in instruction.mounts):
        if mount.get("type") == "secret":
            fields = ("source", "src", "id", "target", "dst", "destination")
            ids.append(next((mount[field] for field in fields if mount.get(field)), ""))
    return list(dict.fromkeys(os.path.basename(name) for name in ids if name))


@functools.cache
def find_buildkit() -> str:
    """The first `docker` on PATH that can build with BuildKit; "" where none can.

    Each is tried: one without the buildx component refuses, however new it is.
    """
    environ = {**os.environ, **_SWITCHES}
    for directory in os.get_exec_path():
        program = os.path.join(directory, "docker")
        # Not there, or not for this user to start.
        with contextlib.suppress(OSError):
            if capture([program, "build", "--help"], env=environ).code == 0:
                return program
    return ""


@contextlib.contextmanager
def _environment() -> Iterator[Mapping[str, str]]:
    """The environment of the command, which reads DOCKER_HOST, DOCKER_CONTEXT and logins as it always does.

    Few versions of it read DOCKER_AUTH_CONFIG: those logins go into a configuration of its own, gone afterwards.
    """
    environ = {**os.environ, **_SWITCHES}
    # The engine's own builder, not one that `docker buildx use` has chosen: that one has no image of the engine's.
    environ.pop("BUILDX_BUILDER", None)
    if not environ.get("DOCKER_AUTH_CONFIG"):
        yield environ
        return
    own = config_directory(environ)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        for part in ("contexts", "cli-plugins"):
            if (own / part).is_dir():
                Path(name, part).symlink_to(own / part)
        Path(name, "config.json").write_bytes(msgspec.json.encode(merged_config(environ)))
        yield {**environ, "DOCKER_CONFIG": name}
