"""A check is what its question came to."""

from __future__ import annotations

from daintree.errors import Check, ClusterError, ClusterForbidden, DaintreeError, checked


def refuse(error: DaintreeError) -> str:
    raise error


def test_an_answer_is_what_is_there() -> None:
    assert checked("git", lambda: "/usr/bin/git") == Check("git", "ok", "/usr/bin/git")


def test_an_error_is_what_is_missing() -> None:
    check = checked("git", lambda: refuse(DaintreeError("no git", hint="install git")))
    assert check == Check("git", "missing", "no git", "install git")


def test_an_error_of_the_kind_named_says_that_it_cannot_be_told() -> None:
    for error, state in (
        (ClusterForbidden("not yours"), "unknown"),
        (ClusterError("down"), "missing"),
    ):
        check = checked("secret", lambda error=error: refuse(error), ClusterForbidden)  # type: ignore[misc]
        assert check.state == state
