"""`doit config`, `doit schema` and `doit store`: what is set, what files may say, what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daintree.commands.command import DaintreeCommand, option, print_json, shared
from daintree.errors import UsageError
from daintree.settings import SETTINGS, variable
from daintree.store.store import Store as ArtifactStore
from daintree.store.store import open_store
from daintree.terminal import columns, count, size


class Config(DaintreeCommand):
    """Prints each setting, its value, and where that came from."""

    doc_usage = "[--json]"
    cmd_options = shared("json")

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        settings = self.settings
        rows = [
            {
                "name": name,
                "value": _plain(getattr(settings, name)),
                "origin": settings.origins[name],
                "variable": variable(name),
            }
            for name in SETTINGS
        ]
        if options["json"]:
            print_json({"root": str(self.root), "settings": rows})
            return
        table = [[str(row["name"]), _word(row["value"]), str(row["origin"])] for row in rows]
        print("\n".join(columns([["setting", "value", "from"], *table], indent="")))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value if isinstance(value, int | str) else str(value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}={pin}" for key, pin in sorted(value.items())) or "-"
    return str(value) or "-"


class Schema(DaintreeCommand):
    """Prints a JSON Schema, made from the types that read the files."""

    doc_usage = "pipeline | component"
    names = (1, 1)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        from daintree.spec.pipeline import KINDS, json_schema

        if names[0] not in KINDS:
            raise UsageError(f"there is no schema of {names[0]!r}", hint="pipeline or component")
        print_json(json_schema(names[0]))


class Store(DaintreeCommand):
    """Shows the artifact store; `--empty` removes what is in it, `--orphans` what was never published."""

    doc_usage = "[--empty | --orphans] [--yes] [--json]"
    doc_description = "Without --yes, --empty and --orphans only say what they would remove. Copies at `output:` stay."
    cmd_options = (
        option("empty", "remove every run from the store", type=bool),
        option(
            "orphans", "remove what interrupted runs have left, which nothing leads to", type=bool
        ),
        option("yes", "with --empty or --orphans: do it", type=bool, short="y"),
        *shared("json"),
    )

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        store = open_store(self.settings)
        if options["empty"] and options["orphans"]:
            raise UsageError(
                "--empty and --orphans contradict each other", hint="one after the other"
            )
        if options["orphans"]:
            _clear_up(store, remove=options["yes"], as_json=options["json"])
            return
        runs, held = store.usage()
        what = f"{count(runs, 'run')} ({size(held)})"
        if options["empty"] and not options["yes"]:
            raise UsageError(
                f"this would remove {what} from {store.url}",
                hint="`doit gc` frees space and keeps what pipelines reach; to remove all: doit store --empty --yes",
            )
        if options["empty"]:
            store.empty()
        origin = self.settings.origins["store"]
        if options["json"]:
            left = (0, 0) if options["empty"] else (runs, held)
            print_json({"store": store.url, "origin": origin, "runs": left[0], "bytes": left[1]})
        elif options["empty"]:
            print(f"removed {what} from {store.url}")
        else:
            print(f"{store.url}: {count(runs, 'run')}, {size(held)} (set by: {origin})")


def _clear_up(store: ArtifactStore, *, remove: bool, as_json: bool) -> None:
    from daintree.store.contents import orphans_of

    backends = [store.backend, *([store.local.directory] if store.shared else [])]
    runs, held = orphans_of(backends, remove=remove)
    if as_json:
        orphans = {"orphans": runs, "bytes": held, "removed": remove}
        print_json({"store": store.url, **orphans})
        return
    what = f"{count(runs, 'interrupted run')} ({size(held)})"
    if remove:
        print(f"removed {what} from {store.url}")
    else:
        print(f"{store.url}: {what} that nothing leads to")
        if runs:
            print("remove them with: doit store --orphans --yes")
