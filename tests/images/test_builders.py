"""The choice of a builder, BuildKit's progress, and the words of a Dockerfile that only BuildKit knows."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from daintree.errors import EngineError, ImageError
from daintree.images.builders import (
    BuildKitBuilder,
    ClassicBuilder,
    _environment,
    build_failure,
    buildkit_feature,
    find_buildkit,
    open_builder,
    readable_line,
    secret_ids,
)
from daintree.settings import read_settings
from tests.services.image_input import image_input

REFUSES = (
    "#!/bin/sh\necho 'ERROR: BuildKit is enabled but the buildx component is missing' >&2\nexit 1\n"
)
BUILDS = '#!/bin/sh\n[ "$DOCKER_BUILDKIT" = 1 ]\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#6 [stage-0 1/3] FROM docker.io/library/x", "Step 1/3 : FROM docker.io/library/x"),
        ("#6 [2/3] RUN make", "Step 2/3 : RUN make"),
        ("#6 [build linux/arm64 2/3] RUN make", "Step 2/3 : RUN make"),
        ("#5 0.464  two words ", " two words "),
        ("#1 [internal] load remote build context", ""),
        ("#5 sha256:adc22a7284c224fb", ""),
        ("#4 CACHED", ""),
        ("failed to solve: x", None),
        ("", None),
    ],
)
def test_progress_is_read_as_steps_and_their_output(text: str, line: str | None) -> None:
    assert readable_line(text) == line


@pytest.mark.parametrize(
    ("dockerfile", "feature"),
    [
        ("RUN --mount=type=cache,target=/c pip install x", "RUN --mount"),
        ("run --network=none make", "RUN --network"),
        ("COPY --chown=1:1 --link a b", "COPY --link"),
        ("RUN \\\n  --mount=type=bind,target=/c make", "RUN --mount"),
        ("RUN python3 - <<'EOF'\nprint()\nEOF", "a here-document of RUN"),
        ("COPY <<-END /x\nEND", "a here-document of COPY"),
        ("COPY --chmod=755 a b", "COPY --chmod"),
        ("ADD --checksum=sha256:1 a b", "ADD --checksum"),
        ("RUN cat 3<<9\n9", "a here-document of RUN"),
        ("FROM --platform=$BUILDPLATFORM a", "FROM --platform=$BUILDPLATFORM"),
        ("FROM base-${TARGETARCH} AS b", "FROM base-${TARGETARCH} AS b"),
        ("# escape\nRUN x \\\n# c\n && y --mount=z", ""),
        ("RUN echo $((1<<20))", ""),
        ("RUN cat <<<word", ""),
        ("# RUN --mount=type=cache x\nRUN make", ""),
        ("RUN make --mount=x", ""),
        ("COPY --from=base --chown=1 a b", ""),
    ],
)
def test_a_word_that_only_buildkit_knows_is_found(dockerfile: str, feature: str) -> None:
    assert buildkit_feature(f"FROM x\n{dockerfile}\n".encode()) == feature


def test_the_secrets_of_a_dockerfile_are_named() -> None:
    dockerfile = (
        "RUN --mount=type=secret,id=a --mount=type=cache,id=cache,target=/c true\n"
        "RUN --mount=id=b,type=secret,required=true true\n"
        "RUN --mount=type=secret,target=/run/secrets/c --mount=type=secret,id=a true\n"
        "RUN --mount=type=secret,env=TOKEN,ID=d,source=e \\\n  --mount=TYPE=secret,dst=/run/f,mode=0400 true\n"
        "RUN <<EOF\nRUN --mount=type=secret,id=g\nEOF\n"
    )
    assert secret_ids(dockerfile.encode()) == ["a", "b", "c", "e", "f"]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two directories on PATH, for `docker` commands of the test's own."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/one{os.pathsep}{tmp_path}/two")
    find_buildkit.cache_clear()
    return tmp_path


def command(path: Path, script: str) -> str:
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


def test_each_docker_command_on_path_is_tried(commands: Path) -> None:
    settings = read_settings(commands, {"HOME": str(commands)})
    command(commands / "one" / "docker", REFUSES)
    assert find_buildkit() == ""
    assert isinstance(open_builder(settings), ClassicBuilder)
    find_buildkit.cache_clear()
    able = command(commands / "two" / "docker", BUILDS)
    assert open_builder(settings).description == f"BuildKit ({able})"
    find_buildkit.cache_clear()


def test_a_setting_asks_for_a_builder(commands: Path) -> None:
    command(commands / "one" / "docker", BUILDS)
    home = {"HOME": str(commands)}
    classic = read_settings(commands, {**home, "DAINTREE_BUILDER": "classic"})
    assert open_builder(classic).description.endswith("as the setting `builder` says")
    command(commands / "one" / "docker", REFUSES)
    find_buildkit.cache_clear()
    wanted = read_settings(commands, {**home, "DAINTREE_BUILDER": "buildkit"})
    with pytest.raises(EngineError, match="no `docker` command on PATH") as failure:
        open_builder(wanted)
    assert "buildx" in failure.value.hint
    find_buildkit.cache_clear()


ADVICE = """#!/bin/sh
echo '#7 [app linux/amd64 2/2] RUN make'
echo '#7 0.100 no rule'
echo '#7 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2'
echo '------'
echo '   2 | >>> RUN make'
echo 'ERROR: failed to build: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2'
echo
echo 'View build details: docker-desktop://dashboard/build/1'
exit 1
"""


def test_the_error_is_told_and_not_the_advice_behind_it(commands: Path, tmp_path: Path) -> None:
    program = command(commands / "one" / "docker", ADVICE)
    build = image_input(tmp_path, "advice", "FROM x\nRUN make\n")
    with pytest.raises(ImageError) as failure:
        BuildKitBuilder(program).build(build, lambda line: None)
    process = 'process "/bin/sh -c make" did not complete successfully: exit code: 2'
    lines = "\n  | Step 2/2 : RUN make\n  | no rule"
    assert failure.value.message == f"cannot {build.action}: {process}{lines}"


def test_logins_of_docker_auth_config_are_given_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"auth": base64.b64encode(b"ana:secret").decode()}
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"old.example": {}}, "credsStore": "desktop", "currentContext": "far"})
    )
    (tmp_path / "contexts").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"new.example": entry}}))
    with _environment() as environ:
        directory = Path(environ["DOCKER_CONFIG"])
        config = json.loads((directory / "config.json").read_text())
        assert (directory / "contexts").is_dir()
        assert directory.stat().st_mode & 0o077 == 0
    assert config["auths"] == {"old.example": {}, "new.example": entry}
    assert config["credHelpers"] == {"new.example": ""}
    assert (config["credsStore"], config["currentContext"]) == ("desktop", "far")
    assert not directory.exists()


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("secret packages: not found", "build_secrets"),
        ("dockerfile parse error line 3: unknown instruction: ECHO", "does not know"),
        ("pull access denied for x", "an image that the Dockerfile names is not here"),
        ("toomanyrequests: You have reached your pull rate limit.", "no more requests for now"),
        ("failed to resolve reference x.example/a:9: x.example/a:9: not found", "no such image"),
        ("failed to create LLB definition: docker.io/library/no:1: not found", "no such image"),
        ("manifest for python:9 not found: manifest unknown", "no such image"),
        ("Get https://x/v2/: x509: certificate has expired", "does not trust the certificate"),
        (
            'failed to do request: Head "https://x.example:9/v2/a/manifests/1": dial tcp: lookup x.example: no such host',
            "the engine cannot reach x.example:9",
        ),
        ("dockerfile parse error line 5: Unknown flag: link", "`# syntax=docker/dockerfile:1`"),
        ("exit code: 3", "mend the step"),
        ('failed to compute cache key: "/missing.txt" not found: not found', "mend the step"),
        ("The command '/bin/sh -c echo denied' returned a non-zero code: 1", "mend the step"),
        ("process update-ca-certificates did not complete successfully: exit code: 1", "mend"),
        ("OCI runtime create failed: exec: /x: permission denied: unknown", "mend the step"),
    ],
)
def test_a_build_that_failed_has_a_hint(reason: str, hint: str) -> None:
    error = build_failure("build x", reason, ["Step 1/1"])
    assert error.message == f"cannot build x: {reason}\n  | Step 1/1"
    assert hint in error.hint


def test_a_step_that_failed_without_its_secret_names_it() -> None:
    error = build_failure("build x", "exit code: 1", [], ["token"])
    assert error.hint.endswith("says which variable holds a secret: token = NAME")


def test_a_word_that_is_not_known_is_told_before_a_secret() -> None:
    reason = "dockerfile parse error line 5: Unknown flag: link"
    assert "a newer engine" in build_failure("build x", reason, [], ["token"]).hint
