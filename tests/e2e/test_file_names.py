"""File names of every kind come back as they went in; what some store could not hold is refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.projects import Project

ODD_NAMES = [
    "with space",
    " both ends ",
    "percent%20encoded",
    "per%cent",
    "question?mark",
    "col:on",
    "back\\slash",
    "star*",
    "[brackets]",
    "{braces}",
    "quote\"s'",
    "<angle>|pipe&",
    "dollar$HOME`x`",
    "hash#12a",
    "naïve ünïcödé 漢字 🙂",
    ".hidden",
    "..dots",
    "-dash",
    "~tilde",
    "run.json",
    "log.txt",
    "_cache",
    ".sub directory/%2F/deep er",
    "x" * 255,
]
WRITE = """\
for name in json.loads(arguments.names):
    path = output / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(name))
"""
LIST = """\
paths = sorted(path for path in input.rglob("*") if path.is_file())
contents = {str(path.relative_to(input)): path.read_text(encoding="utf-8") for path in paths}
(output / "found.json").write_text(json.dumps(contents))
"""
REFUSED = {
    "line feed": ("a\nb", "'a\\nb' has a control character in it"),
    "tabulator": ("tab\t", "'tab\\t' has a control character in it"),
    "delete": ("a\x7f", "'a\\x7f' has a control character in it"),
    "number sign and digits": ("part#12", "'part#12' has a segment that ends in # and digits"),
    "directory": ("sub#1/file", "'sub#1/file' has a segment that ends in # and digits"),
    "no UTF-8": ("\udcff.bin", "is not valid UTF-8"),
}


@pytest.fixture
def naming(project: Project) -> Project:
    """A project with a pipeline `names`: what its first stage is told to write, its second lists."""
    project.component("odd/write", WRITE, names={"type": "str"})
    project.component("odd/list", LIST)
    return project


def pipeline_of(project: Project, *names: str) -> None:
    write = {"component": "odd/write", "params": {"names": json.dumps(names)}}
    project.pipeline("names", write, "odd/list", output={"path": "output/n", "stages": ["write"]})


def test_odd_names_come_back_as_they_are(naming: Project) -> None:
    pipeline_of(naming, *ODD_NAMES)
    expected = {name: name.encode() for name in ODD_NAMES}

    assert naming.run("names") == {"write": "run", "list": "run"}
    contents = json.loads(naming.contents(naming.output("names:list"))["found.json"])

    assert contents == {name: name for name in ODD_NAMES}
    assert naming.contents(naming.output("names:write")) == expected
    assert naming.contents(naming.root / "output/n/write") == expected
    assert naming.run("names") == {"write": "hit", "list": "hit"}


def test_an_odd_name_is_what_is_missing(naming: Project) -> None:
    pipeline_of(naming, "a%20?.csv")
    naming.run("names")
    (naming.output("names:write") / "a%20?.csv").unlink()

    assert "a%20?.csv" in naming.reasons("names")["write"]
    assert "a%20?.csv" in naming.doit("run", "names").stderr
    assert naming.run("names") == {"write": "hit", "list": "hit"}


@pytest.mark.parametrize(("name", "message"), REFUSED.values(), ids=REFUSED)
def test_a_name_that_some_store_refuses_is_refused(
    naming: Project, name: str, message: str
) -> None:
    pipeline_of(naming, "good", name)

    complaint = naming.doit("run", "names").complaint()

    assert "stage names:write wrote what no store may hold" in complaint
    assert message in complaint
    assert naming.plan("names")["write"] == "miss"


@pytest.mark.parametrize(
    "names",
    [("Names.csv", "names.csv"), ("é", "e\u0301"), ("A/one", "a/two"), ("STRASSE", "straße")],
)
def test_names_equal_but_for_case_or_unicode_form_are_refused(
    naming: Project, names: tuple[str, str]
) -> None:
    pipeline_of(naming, *names)

    complaint = naming.doit("run", "names").complaint()

    assert "are equal but for case or Unicode form" in complaint
    assert all(repr(name.split("/")[0])[:-1] in complaint for name in names)


def test_a_source_with_odd_names_is_read(naming: Project) -> None:
    for name in ODD_NAMES:
        naming.write(f"corpus/{name}", name)
    naming.pipeline("names", "odd/list", source="corpus")

    assert naming.run("names") == {"list": "run"}
    contents = json.loads(naming.contents(naming.output("names:list"))["found.json"])
    assert contents == {name: name for name in ODD_NAMES}


def test_spaces_and_letters_of_any_alphabet_in_every_path(naming: Project) -> None:
    place = naming.root.parent / "größe und $HOME 'x'"
    naming.root.rename(place)
    moved = naming.at(place, DAINTREE_STORE=str(place.parent / "lager böx"))
    (place / "corpus.txt").rename(place / "täxt mit raum.txt")
    moved.pipeline("words", "text/load", "text/clean", source="täxt mit raum.txt")
    (place / "pipelines/words.yaml").unlink()

    assert moved.run("words", "--output", "aus gabe/ü") == {"load": "run", "clean": "run"}
    assert moved.run("words") == {"load": "hit", "clean": "hit"}
    assert set(moved.contents(place / "aus gabe/ü")) == {"lines.txt"}
    assert (moved.output("words:clean") / "lines.txt").is_file()


@pytest.mark.parametrize(
    "value",
    [
        "'; touch /tmp/x; #",
        "$(touch here)`touch here`",
        "two\nlines",
        " spaces at both ends ",
        "naïve 漢字 🙂",
        "--fold",
        "-x",
        "",
        "a=b=c",
        "\\n%s{0}",
        "*",
    ],
)
def test_a_parameter_arrives_as_it_is(project: Project, value: str) -> None:
    project.component(
        "odd/echo",
        "(output / 'value').write_bytes(arguments.value.encode())",
        value={"type": "str", "default": "unset"},
    )
    project.pipeline("echo", {"component": "odd/echo", "params": {"value": value}})

    project.run("echo")
    in_file = project.contents(project.output("echo"))
    assert project.run("echo", "--set", f"echo.value={value}") == {"echo": "hit"}

    assert in_file == {"value": value.encode()}
    assert project.doit("show", "echo:echo", "--json").json()["parameters"] == {"value": value}
