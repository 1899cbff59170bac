from __future__ import annotations

import pytest

from daintree.components.source import leaves


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({"link": "file"}, False),
        ({"link": "./a/../b"}, False),
        ({"a/link": "../file"}, False),
        ({"link": "."}, False),
        ({"link": "missing/file"}, False),
        ({"link": "link"}, False),
        ({"link": "other", "other": "link"}, False),
        ({"link": ".."}, True),
        ({"link": "../sibling/file"}, True),
        ({"a/link": "../../file"}, True),
        ({"link": "/etc/passwd"}, True),
        ({"link": "a/../../component/file"}, True),
        ({"link": "other", "other": "../x"}, True),
        # `deep/up` is the directory itself, so what follows it counts from there, not from deep/.
        ({"link": "deep/up/../x", "deep/up": ".."}, True),
        ({"link": "short/../x", "short": "deep/er"}, False),
    ],
)
def test_leaves(targets: dict[str, str], expected: bool) -> None:
    first = next(iter(targets))
    assert leaves(first, targets) is expected
