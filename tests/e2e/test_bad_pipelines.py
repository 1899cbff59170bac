"""Pipeline and component files that are wrong: one message each, with the file and the line or key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

HEAD = "source: corpus.txt\n"
BOMB = "".join(
    f"{level}: &{level} [{', '.join([f'*{before}'] * 9) if before else 'lol'}]\n"
    for level, before in zip("abcdefghi", ["", *"abcdefgh"], strict=True)
)
WRONG: dict[str, tuple[str, list[str]]] = {
    "unknown component": (
        HEAD + "stages:\n  - text/load\n  - text/claen\n",
        ["pipelines/bad.yaml:4", "text/claen", "did you mean 'text/clean'?"],
    ),
    "component path that leads out": (
        HEAD + "stages: [../../etc]\n",
        ["pipelines/bad.yaml:2", "../../etc"],
    ),
    "a library as component": (
        HEAD + "stages: [lib/textio]\n",
        ["pipelines/bad.yaml:2", "lib/textio"],
    ),
    "cycle in needs": (
        HEAD
        + "stages:\n"
        + "  - {component: text/load, needs: []}\n"
        + "  - {component: text/clean, needs: [count]}\n"
        + "  - {component: text/count, needs: [clean]}\n",
        ["pipelines/bad.yaml:4", "go round in a circle: clean → count → clean"],
    ),
    "stage that needs itself": (
        HEAD + "stages:\n  - {component: text/load, needs: [load]}\n",
        ["pipelines/bad.yaml:3", "go round in a circle: load → load"],
    ),
    "unknown need": (
        HEAD + "stages:\n  - text/load\n  - {component: text/clean, needs: [laod]}\n",
        ["pipelines/bad.yaml:4", "'laod'", "did you mean 'load'?"],
    ),
    "duplicate stage name": (
        HEAD + "stages:\n  - text/load\n  - text/clean\n  - text/clean\n",
        [
            "pipelines/bad.yaml:5",
            "two stages called 'clean'",
            "hint: give one of them another name",
        ],
    ),
    "duplicate key": (
        HEAD + "stages: [text/load]\nsource: other.txt\n",
        ["pipelines/bad.yaml:3", "the key 'source' stands twice"],
    ),
    "duplicate key in a stage": (
        HEAD + "stages:\n  - component: text/load\n    params: {limit: 1, limit: 2}\n",
        ["pipelines/bad.yaml:4", "the key 'limit' stands twice"],
    ),
    "bomb": (HEAD + BOMB + "stages: *i\n", ["pipelines/bad.yaml:3", "aliases are not allowed"]),
    "deep nesting": (
        HEAD + "stages: " + "[" * 5000,
        ["pipelines/bad.yaml:2", "nested deeper than"],
    ),
    "tag": (
        HEAD + "stages: !!python/object/apply:os.system [touch here]\n",
        ["pipelines/bad.yaml:2", "tag"],
    ),
    "large file": (HEAD + "#" * 2_000_000, ["pipelines/bad.yaml", "2000019 bytes are more"]),
    "unknown key": (HEAD + "stage: [text/load]\n", ["pipelines/bad.yaml", "stage"]),
    "unknown key in a stage": (
        HEAD + "stages:\n  - {component: text/load, parms: {}}\n",
        ["pipelines/bad.yaml:3", "unknown key 'parms'"],
    ),
    "missing source": ("stages: [text/load]\n", ["pipelines/bad.yaml", "'source' is missing"]),
    "source that is not there": (
        "source: nowhere/at all.txt\nstages: [text/load]\n",
        ["pipelines/bad.yaml: the source nowhere/at all.txt does not exist", "hint: looked for /"],
    ),
    "source that has no file": (
        "source: pipelines/empty\nstages: [text/load]\n",
        ["pipelines/bad.yaml: the source pipelines/empty is a directory without a file"],
    ),
    "source of another kind": (
        "source: gopher://a/b\nstages: [text/load]\n",
        ["pipelines/bad.yaml: a source of the kind gopher:// cannot be read"],
    ),
    "empty source": (
        "source: ''\nstages: [text/load]\n",
        ["pipelines/bad.yaml:1", "source is empty"],
    ),
    "no stages": (HEAD + "stages: []\n", ["pipelines/bad.yaml:2", "at least one stage"]),
    "stages of the wrong type": (HEAD + "stages: text/load\n", ["pipelines/bad.yaml:2", "a list"]),
    "source of the wrong type": (
        "source: [a]\nstages: [text/load]\n",
        ["pipelines/bad.yaml:1", "text or a mapping"],
    ),
    "parameter of the wrong type": (
        HEAD + "stages:\n  - {component: text/load, params: {limit: many}}\n",
        ["pipelines/bad.yaml:3", "'limit'", "expected int, got str 'many'"],
    ),
    "number for a text": (
        HEAD + "stages:\n  - text/load\n  - {component: text/clean, params: {drop: 1}}\n",
        ["pipelines/bad.yaml:4", "expected str, got int 1, quote it"],
    ),
    "value not among the choices": (
        HEAD + "stages:\n  - {component: text/count, params: {separator: x}}\n",
        ["pipelines/bad.yaml:3", "'x' is none of ,, ;"],
    ),
    "unknown parameter": (
        HEAD + "stages:\n  - {component: text/load, params: {limits: 1}}\n",
        ["pipelines/bad.yaml:3", "no parameter 'limits'", "did you mean 'limit'?"],
    ),
    "stage name that cannot be": (
        HEAD + "stages:\n  - {component: text/load, name: a b}\n",
        ["pipelines/bad.yaml:3", "'a b' cannot be a stage's name"],
    ),
    "stage named like what is taken": (
        HEAD + "stages:\n  - {component: text/load, name: source}\n",
        ["pipelines/bad.yaml:3", "'source'"],
    ),
    "unknown output stage": (
        HEAD + "output: {path: out, stages: [lod]}\nstages: [text/load]\n",
        ["pipelines/bad.yaml:2", "'lod' is no stage", "did you mean 'load'?"],
    ),
    "resources": (
        HEAD + "stages:\n  - {component: text/load, resources: {memory: much}}\n",
        ["pipelines/bad.yaml:3", "memory 'much'"],
    ),
    "no mapping": ("- text/load\n", ["pipelines/bad.yaml:1", "expected a mapping"]),
    "empty file": ("", ["pipelines/bad.yaml", "is missing"]),
    "no YAML": (HEAD + "stages: [text/load\n", ["pipelines/bad.yaml:", "not YAML"]),
    "tabulator": (HEAD + "stages:\n\t- text/load\n", ["pipelines/bad.yaml:3", "not YAML"]),
    "two documents": (HEAD + "stages: [text/load]\n---\na: 1\n", ["second document"]),
}


@pytest.mark.parametrize(("text", "messages"), WRONG.values(), ids=WRONG)
def test_a_wrong_pipeline_is_told_with_its_place(
    project: Project, text: str, messages: list[str]
) -> None:
    project.write("pipelines/bad.yaml", text)
    (project.root / "pipelines/empty").mkdir()

    complaint = project.doit("run", "bad").complaint()

    for message in messages:
        assert message in complaint
    assert len(complaint.splitlines()) <= 2


def test_bytes_that_are_no_text(project: Project) -> None:
    (project.root / "pipelines/bad.yaml").write_bytes(b"source: a\nstages: [\xff]\n")

    assert "pipelines/bad.yaml:2: not UTF-8 text" in project.doit("plan", "bad").complaint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"source": "a", "source": "b", "stages": ["text/load"]}',
            "the key 'source' stands twice",
        ),
        ('{"source": "a",\n "stages": [}', "pipelines/bad.json:2: not JSON"),
        ('{"source": NaN, "stages": []}', "NaN is not JSON"),
        ("[" * 100_000, "nested deeper than 40 levels"),
    ],
)
def test_json_that_is_wrong(project: Project, text: str, message: str) -> None:
    project.write("pipelines/bad.json", text)

    assert message in project.doit("run", "bad").complaint()


def test_two_files_of_one_pipeline(project: Project) -> None:
    project.pipeline("words", "text/load")

    complaint = project.doit("run", "words").complaint()

    assert (
        "pipelines/words.yaml: pipelines/words.json describes a pipeline of the same name"
        in complaint
    )


@pytest.mark.parametrize("name", ["run", "plan", "list", "help", "forget", "test", "build"])
def test_a_pipeline_named_like_a_command_or_task(project: Project, name: str) -> None:
    project.pipeline(name, "text/load")

    assert project.run("words")["load"] == "run"
    complaint = project.doit("run", name).complaint()

    assert f"pipelines/{name}.json: {name!r} is the name of a doit command or task" in complaint
    assert "hint: rename the file" in complaint


def test_a_broken_pipeline_harms_only_commands_that_name_it(project: Project) -> None:
    project.write("pipelines/broken.yaml", "source: [\n")

    assert project.run("words") == {"load": "run", "clean": "run", "count": "run"}
    for words in (["list"], [], ["list", "--all"], ["history"], ["affected"], ["store"]):
        assert project.doit(*words).code == 0
    listed = project.doit("list").stdout
    assert re.search(r"^  broken +BROKEN: pipelines/broken.yaml:1: not YAML", listed, re.MULTILINE)
    assert re.search(r"^  words +the most frequent words$", listed, re.MULTILINE)
    for command in ("run", "plan", "graph", "path"):
        assert "pipelines/broken.yaml" in project.doit(command, "broken").complaint()


def test_what_is_wrong_with_a_stage_is_in_the_list(project: Project) -> None:
    project.pipeline("unknown", "text/laod")
    project.pipeline("parameter", "text/load", {"component": "text/clean", "params": {"x": 1}})
    project.pipeline("value", "text/load", {"component": "text/clean", "params": {"fold": 1}})
    project.write("components/text/join/component.yaml", "description: [x]\n")
    rows = project.doit("list", "--json").json()

    broken = rows["pipelines"]
    assert broken["unknown"].endswith(": there is no component 'text/laod'")
    assert broken["unknown"].startswith("BROKEN: pipelines/unknown.json (at stages.0)")
    assert "component text/clean has no parameter 'x'" in broken["parameter"]
    assert "parameter 'fold' of stage 'clean': expected bool, got int 1" in broken["value"]
    assert broken["diamond"].startswith("BROKEN: components/text/join/component.yaml:1: ")
    assert broken["words"] == "the most frequent words"
    components = rows["components and libraries"]
    assert components["text/join"].startswith("BROKEN: components/text/join/component.yaml:1: ")
    assert components["text/load"] == "the source's lines"
    assert components["lib/textio"] == "lines of text in directories"


COMPONENT: dict[str, tuple[str, list[str]]] = {
    "unknown key": ("parms: {}\n", ["components/text/clean/component.yaml:1", "'parms'"]),
    "unknown type": (
        "params:\n  fold: {type: integer}\n",
        ["components/text/clean/component.yaml:2", "integer"],
    ),
    "default of another type": (
        "params:\n  fold: {type: bool, default: 1}\n",
        ["components/text/clean/component.yaml:2", "expected bool, got int 1"],
    ),
    "name that is taken": (
        "params:\n  output: {type: str}\n",
        ["components/text/clean/component.yaml:2", "'output' cannot be a parameter's name"],
    ),
    "unknown library": ("uses: [lib/textoi]\n", ["lib/textoi", "did you mean 'lib/textio'?"]),
    "component as library": ("uses: [text/load]\n", ["text/load"]),
    "output outside": (
        "outputs: [../lines.txt]\n",
        ["components/text/clean/component.yaml:1", "'../lines.txt' is not a path inside"],
    ),
    "no YAML": ("params: {\n", ["components/text/clean/component.yaml:", "not YAML"]),
}


@pytest.mark.parametrize(("text", "messages"), COMPONENT.values(), ids=COMPONENT)
def test_a_wrong_component_file_is_told_with_its_place(
    project: Project, text: str, messages: list[str]
) -> None:
    project.write("components/text/clean/component.yaml", text)
    project.pipeline("untouched", "text/load")

    complaint = project.doit("plan", "words").complaint()

    for message in messages:
        assert message in complaint
    assert project.run("untouched") == {"load": "run"}


def test_a_parameter_without_a_default_must_be_given(project: Project) -> None:
    project.component(
        "odd/needy", "(output / 'a').write_text(arguments.seed)", seed={"type": "int"}
    )
    project.pipeline("needy", "odd/needy")

    complaint = project.doit("run", "needy").complaint()

    assert "pipelines/needy.json" in complaint
    assert "stage 'needy' needs a value for its parameter 'seed'" in complaint
    assert "--set needy.seed=" in complaint
    assert project.run("needy", "--set", "needy.seed=1") == {"needy": "run"}


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        ("[tool.daintree]\nstor = 'x'\n", "has no setting 'stor'"),
        ("[tool.daintree]\nstore = 1\n", "pyproject.toml: store"),
        ("[tool]\ndaintree = 1\n", "[tool.daintree] must be a table"),
    ],
)
def test_wrong_settings(project: Project, pyproject: str, message: str) -> None:
    project.write("pyproject.toml", pyproject)

    assert message in project.doit("run", "words", env={"DAINTREE_STORE": ""}).complaint()
