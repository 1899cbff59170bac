"""The tooling's own image, which records and retrains in the cluster."""

from __future__ import annotations

from tooling.errors import SettingsError
from tooling.settings import Settings


def tooling_image(settings: Settings) -> str:
    """The image by its digest, `repository@sha256:…`. Raises SettingsError where none is set."""
    if not settings.argo_image:
        raise SettingsError(
            "no image of the tooling is set, and the cluster records with it",
            hint="argo_image in [tool.daintree], or DAINTREE_ARGO_IMAGE",
        )
    return settings.argo_image
