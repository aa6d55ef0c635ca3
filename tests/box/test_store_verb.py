"""`bin/cloudbox store`: what is typed wrongly is said before anything is started, and paths mean what they mean to the person."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from cloudbox.box import store
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the verb asks for root first")


@needs_root
@pytest.mark.parametrize("words", [[], ["chekc"]])
def test_an_unknown_verb(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(Failed) as raised:
        store.run(Box(tmp_path), argparse.Namespace(words=words))
    assert all(verb in raised.value.remedy for verb in (*store.OFFLINE, *store.ONLINE))


@needs_root
def test_drives_need_a_box(tmp_path: Path) -> None:
    """What is done at run time needs a box; what reads the drives does not."""
    with pytest.raises(Failed, match="no box"):
        store.run(Box(tmp_path), argparse.Namespace(words=["add", "/srv/disk"]))


def test_paths_are_from_where_the_person_is() -> None:
    """Files and folders that options name, and what looks like a path; not names and prefixes."""
    here = os.getcwd()
    assert store._absolute(["export", "--to", "out", "--prefix", "./a"]) == ["export", "--to", f"{here}/out", "--prefix", "./a"]
    assert store._absolute(["add", "./disk", "--domain", "left"]) == ["add", f"{here}/disk", "--domain", "left"]
    assert store._absolute(["replace", "3fa2b1c0", "/srv/disk"]) == ["replace", "3fa2b1c0", "/srv/disk"]
