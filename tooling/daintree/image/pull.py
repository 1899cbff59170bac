"""Images taken from a registry into the Docker engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from daintree.errors import ImageError
from daintree.image.credentials import stored_credentials
from daintree.image.engine import engine_refusal, mapped
from daintree.image.reference import Repository

if TYPE_CHECKING:
    from docker import DockerClient


def pull_image(
    client: DockerClient,
    repository: Repository,
    digest: str,
    platform: str,
    say: Callable[[str], None],
) -> str:
    """Have the engine pull the image of exactly this digest; its id. `say` gets a line for each layer.

    Raises ImageError when the engine cannot, EngineError when it refuses or is lost.
    """
    what = f"{repository}@{digest}"
    known = stored_credentials(repository.host)
    with mapped(f"pull {what}"):
        events = client.api.pull(
            str(repository),
            digest,
            stream=True,
            decode=True,
            platform=platform,
            auth_config=known.for_engine(repository.host) if known else None,
        )
        for event in events:
            if "error" in event:
                refusal = engine_refusal(f"pull {what}", str(event["error"]))
                raise ImageError(refusal.message, hint=refusal.hint or f"docker pull {what}")
            if event.get("status") == "Pull complete":
                say(f"pulled {event.get('id', '')}")
        return str(client.api.inspect_image(what)["Id"])
