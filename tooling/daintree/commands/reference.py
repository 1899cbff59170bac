"""The reference pages, made from the code: commands, settings, and the formats of the files people write."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import TextWrapper
from typing import Any, get_args, get_type_hints

import msgspec

from daintree.commands.command import COMMANDS
from daintree.settings import SETTINGS, variable
from daintree.spec import pipeline
from daintree.spec.component import ComponentSpec, Param, Resources
from daintree.store.records import Artifact, FileEntry, IndexRecord, InputRecord, Keys, RunManifest

DIRECTORY = Path("docs/reference")
_USAGE = TextWrapper(100, subsequent_indent="    ", break_on_hyphens=False)
EXAMPLES = {
    "Pipeline files": """\
description: best sellers, from two kinds of cleaning
source: https://shop.example/reviews.json.gz
output: {path: output/compare, stages: [strict, lax]}
stages:
  - common/load-jsonl
  - {name: lax, component: common/clean-csv, needs: [load-jsonl]}
  - name: strict
    component: common/clean-csv
    params: {min_user: 5, min_item: 5}
    needs: [load-jsonl]
    resources: {cpu: 2, memory: 2Gi}
""",
    "component.yaml": """\
description: the items with the most purchases
uses: [lib/stageio]
params:
  top: {type: int, default: 10, help: how many items to list}
  order: {type: str, default: most, choices: [most, least]}
  threads: {type: int, default: 1, affects_output: false}
network: false
outputs: [best_sellers.csv]
resources: {cpu: 1, memory: 512Mi}
""",
}
_HEAD = "<!-- Made by `doit reference` from the code; edit that instead. -->\n\n"


def pages() -> dict[Path, str]:
    made = {
        "commands.md": _commands(),
        "settings.md": _settings(),
        "formats.md": _formats(),
        **{
            f"{kind}.schema.json": json.dumps(pipeline.json_schema(kind), indent=2) + "\n"
            for kind in pipeline.KINDS
        },
    }
    return {DIRECTORY / name: text for name, text in made.items()}


def write_pages(root: Path) -> list[Path]:
    """Write the pages that differ; return their paths."""
    changed = outdated_pages(root)
    for path, text in changed.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return [*changed]


def outdated_pages(root: Path) -> dict[Path, str]:
    """The pages that are not what the code says, with what it says."""
    return {
        path: text
        for path, text in pages().items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    }


def _commands() -> str:
    classes = {point.name: point for point in entry_points(group="doit.COMMAND")}
    lines = [
        _HEAD + "# Commands",
        "",
        "Names and options stand in any order. doit's own commands are there as well: `doit help`.",
        "",
        "Results go to stdout, progress and messages to stderr. The exit code is 0 when all went well, 1 when the input or a "
        "stage is at fault (one message says which), 2 for an alert of `doit monitor`, 3 for a bug of the tooling, 130 or 143 after a signal.",
        "",
    ]
    for name, purpose in COMMANDS.items():
        command: Any = classes[name].load()
        lines += [f"## doit {name}", "", f"{purpose[0].upper()}{purpose[1:]}.", ""]
        usage = _USAGE.wrap(f"doit {name} {command.doc_usage}")
        lines += ["```", *usage, "```", ""]
        if command.doc_description:
            lines += [command.doc_description, ""]
        lines += _options(command)
    return "\n".join(lines).rstrip() + "\n"


def _options(command: Any) -> list[str]:
    """The command's own options, then those it has from a command of doit."""
    described = [o for o in command.cmd_options if o.get("long") and o["name"] != "help"]
    doits = {o["name"] for base in command.__mro__[1:] for o in getattr(base, "cmd_options", ())}
    own = [o for o in described if o["name"] not in doits]
    inherited = [o for o in described if o["name"] in doits]
    lines = _option_table(own)
    if inherited:
        lines += ["Options that doit itself brings:", "", *_option_table(inherited)]
    return lines


def _option_table(described: list[dict[str, Any]]) -> list[str]:
    if not described:
        return []
    rows = ["| option | what it does |", "|---|---|"]
    for option in described:
        value = "" if option["type"] is bool else " …"
        short = f"-{option['short']}{value}, " if option.get("short") else ""
        text = " ".join(str(option["help"]).replace("|", "\\|").split())
        text = text.replace("[default: %(default)s]", "").strip()
        rows.append(f"| `{short}--{option['long']}{value}` | {text} |")
    return [*rows, ""]


def _settings() -> str:
    lines = [
        _HEAD + "# Settings",
        "",
        "Settings stand in `[tool.daintree]` of `pyproject.toml`; the environment variable wins. `doit config` prints each with where it came from.",
        "",
        "| setting | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    environ = {"XDG_CACHE_HOME": "/CACHE"}
    for name, setting in SETTINGS.items():
        default = _word(setting.default_value(environ)).replace("/CACHE", "~/.cache")
        default = f"`{default}`" if default else "none"
        if name == "jobs":
            default = "the number of cores"
        lines.append(f"| `{name}` | `{variable(name)}` | {default} | {setting.help} |")
    return "\n".join(lines) + "\n"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value else ""


def _formats() -> str:
    sections: dict[str, list[type[msgspec.Struct]]] = {
        "Pipeline files": [
            pipeline.PipelineSpec,
            pipeline.StageSpec,
            pipeline.SourceSpec,
            pipeline.OutputSpec,
        ],
        "component.yaml": [ComponentSpec, Param, Resources],
        "Records in the store": [RunManifest, Keys, InputRecord, Artifact, FileEntry, IndexRecord],
    }
    lines = [
        _HEAD + "# Formats",
        "",
        "JSON Schemas for editors: [pipeline](pipeline.schema.json), [component](component.schema.json).",
        "",
    ]
    for title, types in sections.items():
        lines += [f"## {title}", ""]
        if title in EXAMPLES:
            lines += ["```yaml", *EXAMPLES[title].splitlines(), "```", ""]
        for kind in types:
            lines += [
                f"### {kind.__name__}",
                "",
                "\n".join(line.strip() for line in (kind.__doc__ or "").strip().splitlines()),
                "",
                *_fields(kind),
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def _fields(kind: type[msgspec.Struct]) -> list[str]:
    hints = get_type_hints(kind)
    rows = ["| key | type | default |", "|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        default = "required"
        if not field.required:
            made = field.default_factory is not msgspec.NODEFAULT
            value = field.default_factory() if made else field.default
            default = f"`{json.dumps(msgspec.to_builtins(value))}`"
        rows.append(f"| `{field.encode_name}` | {_type(hints[field.name])} | {default} |")
    return rows


def _type(hint: Any) -> str:
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "none",
    }
    if hint in plain:
        return plain[hint]
    origin, arguments = getattr(hint, "__origin__", None), get_args(hint)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if arguments:
        words = [f"`{a}`" if isinstance(a, str) else _type(a) for a in arguments]
        return " or ".join(word for word in words if word != "none")
    return str(getattr(hint, "__name__", hint))
