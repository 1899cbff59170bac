"""What Argo and the kubelet put into the texts of a Workflow before a container gets them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

# The zone of the tests' controller: nothing that is recorded may depend on it.
CONTROLLER = timezone(timedelta(hours=-11, minutes=-30))
UID = "0f6a2c1e-6d0b-4d6e-9a53-2f1c7d9b8e40"
_TAG = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def workflow_scope(manifest: Mapping[str, Any], created: datetime) -> dict[str, str]:
    """What a Workflow's tags stand for wherever they are: its name, its namespace, its times and its parameters."""
    given = manifest["spec"].get("arguments", {}).get("parameters", [])
    return {
        "workflow.name": manifest["metadata"]["name"],
        "workflow.namespace": manifest["metadata"]["namespace"],
        "workflow.uid": UID,
        "workflow.creationTimestamp.s": f"{created.timestamp():.0f}",
        **{
            f"workflow.creationTimestamp.{c}": f"{created.astimezone(CONTROLLER):%{c}}"
            for c in "YmdHMS"
        },
        **{f"workflow.parameters.{p['name']}": p["value"] for p in given},
    }


def replace_tags(part: Any, scope: Mapping[str, str], *, ignore_missing: bool = False) -> Any:
    """`part` with its tags replaced in its JSON, as Argo does it; an unknown tag is an error."""

    def put_in(match: re.Match[str]) -> str:
        if match[1] not in scope:
            assert ignore_missing, f"failed to resolve {match[0]}"
            return match[0]
        return _go_quoted(scope[match[1]])

    return json.loads(_TAG.sub(put_in, json.dumps(part, ensure_ascii=False)))


# The controller of Argo 4 moves more arguments than this into a file, which its executor reads; the kubelet sees none of them.
MOST_ARGUMENTS = 131072


def container_words(container: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    """What the container starts with: its command and its arguments."""
    command = [kubelet(word, variables) for word in container["command"]]
    arguments = list(container["args"])
    text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    if len(re.sub("[<>&\u2028\u2029]", "......", text).encode()) > MOST_ARGUMENTS:
        # One that is too long for the system on its own is a file's name then.
        return command + [
            f"@/tmp/argo_arg_{n}.txt" if len(word.encode()) > MOST_ARGUMENTS else word
            for n, word in enumerate(arguments)
        ]
    return command + [kubelet(word, variables) for word in arguments]


def kubelet(text: str, variables: Mapping[str, str]) -> str:
    """The kubelet's expansion: a scan from left to right, nothing expanded twice."""
    out, place = "", 0
    while place < len(text):
        end = text.find(")", place)
        if text.startswith("$$", place):
            out, place = out + "$", place + 2
        elif text.startswith("$(", place) and end >= 0:
            name = text[place + 2 : end]
            out, place = out + variables.get(name, f"$({name})"), end + 1
        else:
            out, place = out + text[place], place + 1
    return out


def _go_quoted(text: str) -> str:
    """Text as Go's strconv.Quote writes it, without the quotes; what is no JSON then fails as in Argo."""
    simple = {
        "\\": "\\\\",
        '"': '\\"',
        "\n": "\\n",
        "\t": "\\t",
        "\r": "\\r",
        "\a": "\\a",
        "\v": "\\v",
    }
    out = ""
    for character in text:
        number = ord(character)
        if character in simple:
            out += simple[character]
        elif character.isprintable():
            out += character
        else:
            out += (
                f"\\x{number:02x}"
                if number < 0x80
                else f"\\u{number:04x}"
                if number < 0x10000
                else f"\\U{number:08x}"
            )
    return out
