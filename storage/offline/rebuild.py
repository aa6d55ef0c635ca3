"""Makes the server's index anew from the drives; with `accept_loss` also when drives are missing that may know more than the others."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudbox.common.errors import Conflict
from storage.engine import DriveSpec, Store
from storage.engine.store import Settings
from storage.offline.opening import SERVER_RUNS, server_runs


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What it was made from."""

    segments: int
    records: int
    mended_records: int
    given_up: tuple[str, ...]  # Ids of drives that are no members any more.


def rebuild(drives: Sequence[DriveSpec], index: Path, *, accept_loss: bool = False) -> Rebuilt:
    """The old index is put aside until the new one is whole.

    With `accept_loss` drives that are missing are given up: should one come back, what it holds is removed before it joins as a new one,
    so that nothing which was overwritten or deleted meanwhile comes to life again.

    Raises Conflict while a server runs, Unavailable if drives are missing that may hold what no other drive has.
    """
    if server_runs(index):
        raise Conflict(SERVER_RUNS)
    aside = [(path, path.with_name(path.name + ".before")) for path in (index / "lmdb", index / "state.json")]
    for path, beside in aside:
        if beside.exists() and not path.exists():
            continue  # An earlier attempt was cut off.
        _remove(beside)
        if path.exists():
            path.rename(beside)
    try:
        done = asyncio.run(_open(drives, index, accept_loss))
    except BaseException:
        for path, beside in aside:
            if beside.exists():
                _remove(path)
                beside.rename(path)
        raise
    for _, beside in aside:
        _remove(beside)
    return done


async def _open(drives: Sequence[DriveSpec], index: Path, accept_loss: bool) -> Rebuilt:
    store = await Store.open(drives, index=index, settings=Settings(accept_loss=accept_loss, fill_ahead=False))
    try:
        given_up = sorted(store.members.missing) if accept_loss else []
        for drive in given_up:
            store.members.give_up(drive)
        report = store.recovered
        return Rebuilt(report.segments, report.records, report.mended_records, tuple(drive.hex() for drive in given_up))
    finally:
        await store.close()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
