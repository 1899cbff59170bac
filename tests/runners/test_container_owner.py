"""Whether the process that owns a container is still alive."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from daintree.runners.container import Owner, has_died, read_owner, this_process, write_owner


def test_this_process_lives() -> None:
    assert has_died(this_process()) is False


def test_it_comes_back_from_a_label() -> None:
    assert read_owner(write_owner(this_process())) == this_process()


@pytest.mark.parametrize("text", ["", "{}", "[1]", "ana", '["m", "b", "x", ""]'])
def test_what_is_no_owner(text: str) -> None:
    assert read_owner(text) is None


def test_a_process_that_has_ended_has_died() -> None:
    source = "from daintree.runners.container import this_process, write_owner\nprint(write_owner(this_process()))"
    finished = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    owner = read_owner(finished.stdout.strip())
    assert owner is not None
    assert has_died(owner) is True


@pytest.mark.skipif(not os.path.exists("/proc"), reason="only /proc tells when a process began")
def test_another_process_of_the_same_id_is_not_the_owner() -> None:
    assert has_died(msgspec.structs.replace(this_process(), began="1")) is True


def test_of_another_machine_or_another_start_nobody_can_tell() -> None:
    mine = this_process()
    assert has_died(msgspec.structs.replace(mine, machine="elsewhere")) is None
    assert has_died(Owner(mine.machine, "another start", mine.process, mine.began)) is None
