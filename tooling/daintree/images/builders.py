"""Builders of images: BuildKit, through the `docker` command, since the SDK has no client for it, else the engine's API."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from daintree.errors import EngineError, ImageError
from daintree.images.context import BuildInput, Origin, build_input
from daintree.images.engine import NO_LOGIN, NO_REGISTRY, connected, engine_refusal
from daintree.images.registry_auth import config_directory, merged_config
from daintree.process import capture, stream
from daintree.settings import Settings

if TYPE_CHECKING:
    from docker import DockerClient

    from daintree.components import ComponentVersion

OnLine = Callable[[str], None]

LAST_LINES = 15
# No attestation: with one, the digest of a push would be an index's, not the image's.
_SWITCHES = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "NO_COLOR": "1"}
_STEP = re.compile(r"#\d+ \[(?:\S+ )?(\d+)/(\d+)\] (.*)")
_OUTPUT = re.compile(r"#\d+ \d+\.\d+ (.*)")
_SECRET_ID = re.compile(
    r"--mount=(?=\S*type=secret)(?:\S*?,)?(?:id|target|dst|destination)=([^,\s]+)"
)
_PREFIXES = re.compile(
    r"(?:ERROR: |failed to solve(?: with frontend [\w.]+)?: |failed to create LLB definition: |rpc error: code = \w+ desc = )+"
)
_BUILDKIT_FLAG = re.compile(
    r"(?:RUN|COPY|ADD)\s+(?:--\S+\s+)*(--(?:mount|network|security|link|parents|exclude))\b", re.I
)
_HEREDOC = re.compile(
    r"(?:RUN|COPY|ADD)\s(?:.*\s)?(\d*<<-?[\"']?[A-Za-z_]\w*[\"']?)(?:\s|\Z)", re.I
)
_NO_SUCH_WORD = re.compile(r"unknown instruction|unknown flag|dockerfile parse error", re.I)
INSTALL_BUILDKIT = (
    "install Docker's buildx component: the package docker-buildx-plugin, or docker-buildx"
)


class ImageBuilder(Protocol):
    """The seam of whatever builds images: `tests/contract/` holds one suite that each of them passes."""

    @property
    def description(self) -> str:
        """Its name in a sentence, e.g. "BuildKit (/usr/bin/docker)"."""
        ...

    def build(self, build: BuildInput, on_line: OnLine) -> str:
        """Build an image and give it the first of its references; its id. `on_line` gets each line that the build prints.

        Raises ImageError when the build fails, EngineError when the engine does not answer.
        """
        ...


class ClassicBuilder:
    """The builder behind the engine's API, which knows no BuildKit."""

    @property
    def description(self) -> str:
        return "the engine's classic builder: no `docker` command here can use BuildKit"

    def build(self, build: BuildInput, on_line: OnLine) -> str:
        needed = buildkit_feature(build.dockerfile)
        if needed:
            raise ImageError(
                f"cannot {build.action}: its Dockerfile uses {needed}, which only BuildKit knows",
                hint=INSTALL_BUILDKIT,
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


def _events(client: DockerClient, build: BuildInput) -> Iterator[Mapping[str, Any]]:
    import docker.errors

    try:
        yield from client.api.build(
            fileobj=io.BytesIO(build.context),
            custom_context=True,
            encoding="identity",
            tag=build.references[0],
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
                reason = _PREFIXES.sub("", notes[-1] if notes else f"exit code {code}")
                raise build_failure(build.action, reason, lines)
            return id_file.read_text(encoding="ascii").strip()

    def _arguments(self, build: BuildInput) -> list[str]:
        reference = build.references[0]
        arguments = [self.program, "build", "--progress=plain", "--tag", reference]
        arguments += ["--platform", build.platform, *(["--no-cache"] if build.fresh else [])]
        for name, value in build.build_args.items():
            arguments += ["--build-arg", f"{name}={value}"]
        for name, value in build.labels.items():
            arguments += ["--label", f"{name}={value}"]
        if self.inline_cache:
            latest = f"{reference.rpartition(':')[0]}:latest"
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
    return ClassicBuilder()


def build_version(
    version: ComponentVersion,
    snapshot: Path,
    reference: str,
    settings: Settings,
    announce: OnLine,
) -> str:
    """Build the image of a version, which may be in no commit, for this machine; its id. `announce` gets a line that names the builder.

    Raises ImageError and EngineError.
    """
    builder = open_builder(settings)
    announce(f"building {reference} with {builder.description}, the first time only")
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    origin = Origin(commit="", source="", created=created)
    return builder.build(build_input(version, snapshot, (reference,), origin), lambda line: None)


def build_failure(action: str, reason: str, last: Iterable[str]) -> ImageError:
    """The error of a build: the builder's own words, then a hint that says what to do about them."""
    reason = reason.strip()
    refusal = engine_refusal(action, reason)
    if refusal.hint:
        return refusal
    small = reason.lower()
    if any(sign in small for sign in (*NO_LOGIN, *NO_REGISTRY, "manifest unknown")):
        hint = "the base image is not here and could not be pulled: docker pull it, or docker login to its registry"
    elif "secret" in small and "not found" in small:
        hint = "build_secrets in [tool.daintree] says which variable holds it: its id = NAME"
    elif _NO_SUCH_WORD.search(reason):
        hint = "the Dockerfile has a word that this Docker engine does not know: correct it, or use a newer engine"
    else:
        hint = "these are the build's own words: mend the step of the Dockerfile that they name"
    lines = "".join(f"\n  | {line}" for line in last)
    return ImageError(f"cannot {action}: {reason}{lines}", hint=hint)


def buildkit_feature(dockerfile: bytes) -> str:
    """The first word of a Dockerfile that only BuildKit knows, such as `RUN --mount`; "" for none."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", dockerfile.decode("utf-8", "replace"))
    for line in re.sub(r"\\[ \t]*\n", " ", text).splitlines():
        flag = _BUILDKIT_FLAG.match(line.strip())
        if flag:
            return f"{line.split()[0].upper()} {flag[1]}"
        heredoc = _HEREDOC.match(line.strip())
        if heredoc:
            return f"a heredoc ({heredoc[1]})"
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
    text = dockerfile.decode("utf-8", "replace")
    return list(dict.fromkeys(os.path.basename(name) for name in _SECRET_ID.findall(text)))


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
