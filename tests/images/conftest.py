"""What a registry's client is asked with: nobody's login, and answers that it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import RegistryError
from daintree.images.registry import RegistryClient, Repository
from tests.services.faulty_registry import Script, answering


@pytest.fixture
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins are looked for in the test's own directory, where there are none yet."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def fault(script: Script, **more: bool) -> RegistryError:
    """What is raised when a registry answers as the script says to a look-up."""
    with answering(script) as served, pytest.raises(RegistryError) as failure:
        RegistryClient(served.address, **more).digests([(Repository(served.address, "a/b"), "1")])
    return failure.value
