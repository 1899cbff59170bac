"""Components that are no stages but work beside a pipeline, on what one of its stages has written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from daintree.errors import SpecError, UsageError
from daintree.run.job import prepare_version
from daintree.runners import open_runner
from daintree.runners.protocol import Job, Outcome
from daintree.settings import Settings
from daintree.spec.reader import read_component
from daintree.suggest import nearest
from daintree.version import discover_components, read_versions
from daintree.version.discovery import TOP
from daintree.version.source import SPEC

# In a container a service has to publish its port, which no stage does: `docker run -p` does it.
RUNNER = "local"

# The key of component.yaml that attaches a component to a stage.
Role = Literal["serves", "monitors"]
WORDS: dict[Role, str] = {"serves": "service", "monitors": "monitor"}


class Attached(msgspec.Struct, frozen=True):
    """A component, and the stage whose output it serves or monitors."""

    component: str
    pipeline: str
    stage: str


def attached(root: Path, role: Role) -> list[Attached]:
    """The components with this role in their component.yaml, sorted by name. Raises SpecError."""
    found = []
    for name in discover_components(root):
        where = f"{TOP}/{name}/{SPEC}"
        try:
            content = (root / where).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SpecError(f"{where}: cannot be read: {error.strerror}") from None
        target = getattr(read_component(content, where), role)
        if target:
            pipeline, _, stage = target.partition(":")
            found.append(Attached(name, pipeline, stage))
    return found


def find_attached(root: Path, role: Role, name: str) -> Attached:
    """The component of this name with this role, or the only one of the pipeline of this name.

    Raises UsageError where there is none or more than one.
    """
    known = attached(root, role)
    word = WORDS[role]
    found = [each for each in known if name in (each.component, each.pipeline)]
    if not found:
        names = sorted({each for a in known for each in (a.component, a.pipeline)})
        raise UsageError(
            f"there is no {word} of {name!r}",
            hint=nearest(name, names) or f"a {word} names what it {role} in its component.yaml",
        )
    if len(found) > 1:
        named = ", ".join(each.component for each in found)
        raise UsageError(f"{name} has several {word}s: {named}", hint="name the one you mean")
    return found[0]


def run_attached(
    settings: Settings,
    component: str,
    input: str,
    output: Path,
    arguments: Sequence[str],
    say: Callable[[str], None],
) -> Outcome:
    """Run such a component to its end in its environment on this machine; `say` gets each line it says.

    `output` is made if it is missing. When this call is left by an exception, an interrupt too, the component is
    asked to end, and is gone. Raises as making its environment does.
    """
    runner = open_runner(RUNNER, settings)
    version = read_versions(
        settings.root, [component], platform=settings.platform, bases=settings.bases
    )[component]
    prepared = prepare_version(runner, version, settings, say)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        scratch = Path(name)
        job = Job(
            label=component,
            component=component,
            version=version.digest,
            run="",
            prepared=prepared,
            arguments=tuple(arguments),
            input=input,
            places={},
            output=output,
            scratch=scratch,
            log=scratch / "log.txt",
            network=True,
        )
        return runner.execute(job, say)
