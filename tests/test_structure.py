"""The structure of the package and its tests, measured; `python -m tests.test_structure` prints the figures.

A ratchet: a figure may not exceed its limit below, and whoever makes one smaller lowers its limit.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "tooling" / "daintree"

# A figure is a number, or names: then the number of them is limited, and a failing test lists them.
LIMITS: dict[str, float] = {
    "modules": 124,
    # For information: a guarantee may cost lines.
    "lines": 36180,
    "lines of the longest module": 500,
    # 818 edges in all, 138 fewer than with 153 modules: small modules had few of their own.
    "import edges a module": 6.61,
    "modules in import cycles": 0,
    "modules with a single importer, % of lines": 6.25,
    "modules with a single importer": 7,
    "import lines, %": 6.95,
    "top-level modules and packages": 17,
    "functions of more than 50 lines": 0,
    "lines of a function, 90th percentile": 22,
    "old words in module names": 0,
    "old words in names of test modules": 0,
    "old words in identifiers": 6,
    "old words in identifiers of tests": 0,
    "old words in docstrings": 0,
    "docstrings that name no subject": 0,
    "public functions that raise and do not say so, %": 0,
    "public functions that raise and do not say so": 0,
    "patches, % of tests": 0.93,
    "tests that assert nothing": 0,
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

FORBIDDEN_FIRST_WORDS = frozenset(
    ["what", "whether", "where", "how", "who", "whoever", "whose", "why", "that", "which", "as"]
)
# Words of a private dialect, each with the word of the field beside it.
OLD_WORDS = {
    "patience": "circuit breaker, deadline",
    "reach": "availability, access",
    "seal": "finalize",
    "sealed": "finalized",
    "foreign": "translated errors",
    "layered": "fallback",
    "standing": "trigger",
    "stock": "built-in",
    "ending": "outcome",
    "endings": "outcomes",
    "lineage": "ancestry",
    "leftover": "orphan",
    "leftovers": "orphans",
    "impostor": "not its own file",
    "impostors": "not its own files",
    "elsewhere": "the other runner",
    "laboratory": "fixture",
    "judgement": "decision",
    "trail": "history",
    "util": "",
    "utils": "",
    "helper": "",
    "helpers": "",
    "manager": "",
    "misc": "",
}
OLD_PHRASES = ("under way", "by hand", "hand over", "hands over", "handed over")
# No noun of any domain.
VAGUE_NAMES = frozenset(["said", "told", "asked", "found", "kept", "near", "far", "data", "info"])


@cache
def sources(directory: Path) -> dict[str, str]:
    """The text of each Python file below a directory, by its dotted name from there."""
    skipped = {"templates", "project"}
    return {
        ".".join(path.relative_to(directory).with_suffix("").parts): path.read_text("utf-8")
        for path in sorted(directory.rglob("*.py"))
        if not skipped & set(path.relative_to(directory).parts)
    }


@cache
def trees(directory: Path) -> dict[str, ast.Module]:
    """The syntax tree of each of these files."""
    return {name: ast.parse(text) for name, text in sources(directory).items()}


def lines(name: str) -> int:
    """The number of lines of a module of the package."""
    return sources(PACKAGE)[name].count("\n")


@cache
def imports() -> dict[str, frozenset[str]]:
    """For each module of the package the modules of the package that it imports, anywhere in it."""
    modules = {name.removesuffix(".__init__") for name in sources(PACKAGE)}

    def imported(tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("daintree"):
                module = (node.module or "").removeprefix("daintree").removeprefix(".")
                for alias in node.names:
                    inner = f"{module}.{alias.name}".removeprefix(".")
                    yield inner if inner in modules else module
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("daintree."):
                        yield alias.name.removeprefix("daintree.")

    return {
        name.removesuffix(".__init__"): frozenset(set(imported(tree)) & modules - {name})
        for name, tree in trees(PACKAGE).items()
    }


def cycles() -> list[str]:
    """Modules that import themselves by way of others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(imports()[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += imports()[module]
        return seen

    return [module for module in imports() if module in reached(module)]


def implementations() -> set[str]:
    """Modules with a class that has all methods of a Protocol of the package."""
    methods: dict[tuple[str, str], frozenset[str]] = {}
    protocols: list[frozenset[str]] = []
    for name, tree in trees(PACKAGE).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                own = frozenset(item.name for item in node.body if isinstance(item, Definition))
                if any("Protocol" in ast.unparse(base) for base in node.bases):
                    protocols.append(own)
                else:
                    methods[name, node.name] = own
    return {
        module
        for (module, _), own in methods.items()
        if any(protocol <= own for protocol in protocols if protocol)
    }


def single_importers() -> list[str]:
    """Modules that one module alone imports; a command, a part of authoring or of the pages, and an implementation of a Protocol may be one."""
    importers: dict[str, list[str]] = {name: [] for name in imports()}
    for importer, imported in imports().items():
        for module in imported:
            importers[module].append(importer)
    excused = implementations()
    return [
        f"{module} ({lines(module)} lines, by {importers[module][0]})"
        for module in sources(PACKAGE)
        if len(importers.get(module, ())) == 1
        and module.partition(".")[0] not in ("commands", "authoring", "pages")
        and module not in excused
    ]


def single_importers_percent() -> float:
    """The share of the package's lines that lie in such modules."""
    inside = sum(lines(entry.partition(" ")[0]) for entry in single_importers())
    return 100 * inside / package_lines()


def package_lines() -> int:
    """The lines of the package."""
    return sum(lines(name) for name in sources(PACKAGE))


def import_lines_percent() -> float:
    """The share of the package's lines that are import statements."""
    count = sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees(PACKAGE).values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    return 100 * count / package_lines()


def functions(directory: Path) -> Iterator[tuple[str, Definition]]:
    """Each function and method below a directory, with its module and line."""
    for name, tree in trees(directory).items():
        for node in ast.walk(tree):
            if isinstance(node, Definition):
                yield f"{name}:{node.lineno} {node.name}", node


def function_lines() -> list[int]:
    """The lines of each function of the package, fewest first."""
    return sorted((node.end_lineno or 0) - node.lineno + 1 for _, node in functions(PACKAGE))


def long_functions() -> list[str]:
    """Functions of more than 50 lines."""
    return [
        place for place, node in functions(PACKAGE) if (node.end_lineno or 0) - node.lineno + 1 > 50
    ]


def docstrings(directory: Path) -> Iterator[tuple[str, str]]:
    """Each docstring, with its module and line."""
    for name, tree in trees(directory).items():
        for node in ast.walk(tree):
            if isinstance(node, Documented) and (text := ast.get_docstring(node)):
                yield f"{name}:{getattr(node, 'lineno', 1)}", text


def docstrings_against_the_rule() -> list[str]:
    """Docstrings that begin with a word that names no subject."""
    return [
        f"{place} {text.splitlines()[0][:60]}"
        for place, text in docstrings(PACKAGE)
        if re.match(r"\W*(\w*)", text)[1].lower() in FORBIDDEN_FIRST_WORDS  # type: ignore[index]
    ]


def words(name: str) -> list[str]:
    """The words of an identifier in snake_case or CamelCase."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def old(name: str) -> bool:
    """True of an identifier with an old word in it."""
    spoken = words(name)
    phrase = " ".join(spoken)
    return bool(set(spoken) & OLD_WORDS.keys()) or any(old in phrase for old in OLD_PHRASES)


def old_words_in_module_names() -> list[str]:
    """Modules and packages with an old word in their names."""
    return [name for name in sources(PACKAGE) if old(name)]


def old_words_in_test_module_names() -> list[str]:
    """Modules of the tests with an old word in their names."""
    return [name for name in sources(TESTS) if old(name)]


def identifiers(directory: Path) -> Iterator[tuple[str, str]]:
    """Each name that is bound below a directory, with its module and line."""
    for module, tree in trees(directory).items():
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                    yield f"{module}:{node.lineno}", name
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield f"{module}:{node.lineno}", name


def old_identifiers(directory: Path = PACKAGE) -> list[str]:
    """Names that are bound in the package and have an old word in them, or are no noun of the domain."""
    return [
        f"{place} {name}"
        for place, name in identifiers(directory)
        if old(name) or name.strip("_") in VAGUE_NAMES
    ]


def old_words_in_docstrings() -> list[str]:
    """Docstrings with an old word in them."""
    # As a verb, "reach" is plain English; a credential helper is Docker's word.
    spoken = [*(OLD_WORDS.keys() - {"reach", "helper", "helpers"}), *OLD_PHRASES]
    pattern = re.compile(rf"\b({'|'.join(spoken)})\b", re.IGNORECASE)
    return [
        f"{place} {match[0]}"
        for place, text in docstrings(PACKAGE)
        if (match := pattern.search(text))
    ]


def own_raises(node: Definition) -> bool:
    """True of a function that raises an error which it makes itself."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, Definition | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(inner, ast.Raise) and isinstance(inner.exc, ast.Call):
            return True
        waiting += ast.iter_child_nodes(inner)
    return False


def public_functions(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """The public functions of a module and the public methods of its public classes."""
    for item in node.body:
        if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
            yield from public_functions(item)
        elif isinstance(item, Definition) and not item.name.startswith("_"):
            yield item


def silent_raises() -> list[str]:
    """Public functions that raise errors of their own and do not say so in their docstrings."""
    return [
        f"{name}:{node.lineno} {node.name}"
        for name, node in _raising()
        if not re.search(r"\braises?\b", ast.get_docstring(node) or "", re.IGNORECASE)
    ]


def silent_raises_percent() -> float:
    """The share of the public functions with a raise of their own that do not say so."""
    return 100 * len(silent_raises()) / max(1, len(list(_raising())))


def _raising() -> Iterator[tuple[str, Definition]]:
    # Without a docstring it implements a protocol, which says what is raised.
    for name, tree in trees(PACKAGE).items():
        for node in public_functions(tree):
            if own_raises(node) and ast.get_docstring(node):
                yield name, node


def all_tests() -> list[tuple[str, Definition]]:
    """The test functions."""
    return [(place, node) for place, node in functions(TESTS) if node.name.startswith("test_")]


def patches_percent() -> float:
    """Patches of code for each hundred tests."""
    patched = re.compile(r"\bmonkeypatch\.(set|del)attr\(|\bmock\.patch\b|\bpatch\.object\(")
    return 100 * sum(len(patched.findall(t)) for t in sources(TESTS).values()) / len(all_tests())


def asserting_nothing() -> list[str]:
    """Tests without an assertion, an expected error or a call of something in the tests that has one."""
    calls: dict[str, set[str]] = {}
    asserting = {"raises", "warns", "fail", "fullmatch_lines"}
    for _, node in functions(TESTS):
        calls.setdefault(node.name, set()).update(
            inner.func.attr if isinstance(inner.func, ast.Attribute) else inner.func.id
            for inner in ast.walk(node)
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute | ast.Name)
        )
        if any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
            asserting.add(node.name)
    while more := {name for name, called in calls.items() if called & asserting} - asserting:
        asserting |= more
    return [
        place
        for place, node in all_tests()
        if not any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
        and not calls[node.name] & asserting
    ]


def top_level() -> list[str]:
    """Modules and packages directly in the package."""
    return sorted({name.partition(".")[0] for name in sources(PACKAGE)} - {"__init__"})


FIGURES: dict[str, Callable[[], float | list[str]]] = {
    "modules": lambda: len(sources(PACKAGE)),
    "lines": package_lines,
    "lines of the longest module": lambda: max(map(lines, sources(PACKAGE))),
    "import edges a module": lambda: sum(map(len, imports().values())) / len(imports()),
    "modules in import cycles": cycles,
    "modules with a single importer, % of lines": single_importers_percent,
    "modules with a single importer": single_importers,
    "import lines, %": import_lines_percent,
    "top-level modules and packages": top_level,
    "functions of more than 50 lines": long_functions,
    "lines of a function, 90th percentile": lambda: function_lines()[
        len(function_lines()) * 9 // 10
    ],
    "old words in module names": old_words_in_module_names,
    "old words in names of test modules": old_words_in_test_module_names,
    "old words in identifiers": old_identifiers,
    "old words in identifiers of tests": lambda: old_identifiers(TESTS),
    "old words in docstrings": old_words_in_docstrings,
    "docstrings that name no subject": docstrings_against_the_rule,
    "public functions that raise and do not say so, %": silent_raises_percent,
    "public functions that raise and do not say so": silent_raises,
    "patches, % of tests": patches_percent,
    "tests that assert nothing": asserting_nothing,
}
# Of these more is no worse.
REPORTED: dict[str, Callable[[], float]] = {
    "lines a module, median": lambda: median(map(lines, sources(PACKAGE))),
    "lines a function, median": lambda: median(function_lines()),
    "tests": lambda: len(all_tests()),
}


def size(figure: float | list[str]) -> float:
    """The number that is limited."""
    return len(figure) if isinstance(figure, list) else figure


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_of_the_structure_grows(name: str) -> None:
    figure = FIGURES[name]()
    names = "\n".join(figure) if isinstance(figure, list) else ""
    assert size(figure) <= LIMITS[name], f"{name}: {size(figure):.4g}\n{names}"


if __name__ == "__main__":
    # With a figure's name it prints what the figure counts.
    for wanted in sys.argv[1:]:
        counted = FIGURES[wanted]()
        print(*(counted if isinstance(counted, list) else [counted]), sep="\n")
    for name, measure in {**FIGURES, **REPORTED}.items() if not sys.argv[1:] else ():
        limit = f" (limit {LIMITS[name]:g})" if name in LIMITS else ""
        print(f"{name:52} {size(measure()):8.4g}{limit}")
