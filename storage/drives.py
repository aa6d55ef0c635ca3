"""The drives of the object store, for administrators: what there is, and what is to be done with it.

Who speaks to whom: the processes meet in PostgreSQL, as everywhere in the house. A verb here writes an *order* and an audit event; the
first worker of the data plane looks for orders every two seconds, carries them out one after the other, and writes down how it went
(storage/drive_rounds.py). It alone writes the rows of drives, every few seconds, with what it has observed; so what a page shows is what
is so, never what was wished. Which drives the store is made of lies in a file (storage/drive_list.py), since the data plane has to start
without PostgreSQL; its other workers follow that file. No port, and no order that is half carried out when a process dies: each is one
change of that file, or is looked at again.
"""

from __future__ import annotations

import os.path
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import Conflict, Invalid, NotFound
from identity.context import Context
from storage.models import DriveOrder, StoreDrive, StoreRounds

WEIGHT_MIN, WEIGHT_MAX = 0.01, 1000.0
PATH_MAX, DOMAIN_MAX = 1024, 64
ORDERS_SHOWN = 20
COPIES = 3  # Of the default class; so many drives must be left to take what a drained one held.
_NOT_FOR_DRIVES = ("/proc", "/sys", "/dev", "/run")
UNDER_WAY = (DriveOrder.State.WAITING, DriveOrder.State.WORKING)


def list_drives(ctx: Context) -> QuerySet[StoreDrive]:
    """As they were last seen, by path."""
    ctx.require("drives.list")
    return StoreDrive.objects.all()


def get(ctx: Context, id: UUID) -> StoreDrive:
    """Raises NotFound."""
    drive = list_drives(ctx).filter(pk=id).first()
    if drive is None:
        raise NotFound("There is no such drive in the object store.")
    return drive


def rounds(ctx: Context) -> dict[str, Any]:
    """What the store does beside serving: see `facts_of_rounds` in drive_rounds.py; empty before the data plane has run."""
    ctx.require("drives.list")
    row = StoreRounds.objects.filter(pk=1).first()
    return {} if row is None else {**row.facts, "seen_at": row.seen_at}


def orders(ctx: Context) -> Sequence[DriveOrder]:
    """The latest ones, newest first."""
    ctx.require("drives.list")
    return list(DriveOrder.objects.order_by("-asked_at")[:ORDERS_SHOWN])


# --- orders


def add(ctx: Context, path: str, *, weight: float = 1.0, domain: str = "") -> DriveOrder:
    """Let a folder, where a disk is mounted, become a drive. `weight`: how much of what is new it gets beside the others;
    `domain`: what it fails together with (copies avoid to share one). Whether the folder will do is looked at where the drives are."""
    ctx.require("drives.manage")
    return _order(ctx, DriveOrder.Verb.ADD, None, {"path": _path(path), "weight": _weight(weight), "domain": _domain(domain)}, path)


def drain(ctx: Context, id: UUID) -> DriveOrder:
    """Put nothing new on it, and copy what it holds to the others. Raises Conflict if too few would be left."""
    return _about(ctx, id, DriveOrder.Verb.DRAIN)


def keep(ctx: Context, id: UUID) -> DriveOrder:
    """Drain it no longer."""
    return _about(ctx, id, DriveOrder.Verb.KEEP)


def remove(ctx: Context, id: UUID) -> DriveOrder:
    """Let go of a drive that is drained; or of one that is missing, which is then given up: what it held is copied from the others."""
    return _about(ctx, id, DriveOrder.Verb.REMOVE)


def replace(ctx: Context, id: UUID, path: str) -> DriveOrder:
    """A new drive takes the place, weight and domain of an old one; that is given up if it is missing, else drained and let go of."""
    return _about(ctx, id, DriveOrder.Verb.REPLACE, {"path": _path(path)})


def set_weight(ctx: Context, id: UUID, weight: float, *, domain: str | None = None) -> DriveOrder:
    """Counts for what is written from now on."""
    arguments: dict[str, Any] = {"weight": _weight(weight)} | ({"domain": _domain(domain)} if domain is not None else {})
    return _about(ctx, id, DriveOrder.Verb.SET, arguments)


@dataclass(frozen=True, slots=True)
class Possible:
    """What can be done with a drive now; a sentence says why not, empty: it can."""

    drain: str
    keep: str
    remove: str
    replace: str
    set: str


def possible(ctx: Context, drive: StoreDrive) -> Possible:
    """For a page that disables what cannot be done, with its reason."""
    refused = ctx.why_not("drives.manage")
    found = {verb.value: refused or _why_not(drive, verb) for verb in DriveOrder.Verb if verb != DriveOrder.Verb.ADD}
    return Possible(**found)


def _why_not(drive: StoreDrive, verb: DriveOrder.Verb) -> str:
    states, state = StoreDrive.State, drive.state
    if DriveOrder.objects.filter(drive=drive.pk, state__in=UNDER_WAY).exists():
        return "Something else is being done with this drive. Wait until that has ended."
    emptied = state in (states.DRAINING, states.DRAINED)
    if verb == DriveOrder.Verb.DRAIN:
        if emptied:
            return "It is being emptied already."
        if state == states.MISSING:
            return "It is missing, so nothing can be copied from it. Remove or replace it."
        others = StoreDrive.objects.filter(state=states.ACTIVE).exclude(pk=drive.pk).count()
        if others < _copies():
            return f"Only {others} drives would be left, and objects are kept in {_copies()} copies. Add a drive first."
    elif verb == DriveOrder.Verb.KEEP and not emptied:
        return "It is not being emptied."
    elif verb == DriveOrder.Verb.REMOVE and state not in (states.DRAINED, states.MISSING):
        return "It still holds objects. Empty it first."
    return ""


def _copies() -> int:
    row = StoreRounds.objects.filter(pk=1).first()
    return int(row.facts.get("copies_max", COPIES)) if row is not None else COPIES


def _about(ctx: Context, id: UUID, verb: DriveOrder.Verb, arguments: dict[str, Any] | None = None) -> DriveOrder:
    ctx.require("drives.manage")
    with transaction.atomic():
        drive = StoreDrive.objects.select_for_update().filter(pk=id).first()
        if drive is None:
            raise NotFound("There is no such drive in the object store.")
        if reason := _why_not(drive, verb):
            raise Conflict(reason)
        return _order(ctx, verb, drive, arguments or {}, drive.path)


def _order(ctx: Context, verb: DriveOrder.Verb, drive: StoreDrive | None, arguments: dict[str, Any], about: str) -> DriveOrder:
    with transaction.atomic():
        order = DriveOrder.objects.create(
            verb=verb, drive=drive.pk if drive is not None else None, arguments=arguments, asked_by=ctx.actor.name[:254]
        )
        detail = ", ".join([about, *(f"{key}: {value}" for key, value in arguments.items() if value not in ("", about))])
        events.publish(ctx.actor, str(verb), "drive", drive, detail=detail)
    return order


def wait(order: DriveOrder, seconds: float = 60.0) -> DriveOrder:
    """For the command line: until it has ended or goes on by itself. Raises Conflict with the reason if it failed."""
    deadline = time.monotonic() + seconds
    while order.state == DriveOrder.State.WAITING:
        if time.monotonic() > deadline:
            raise Conflict("The object store has not taken the order up. See that it runs (bin/cloudbox status); the order stays.")
        time.sleep(0.2)
        order.refresh_from_db()
    if order.state == DriveOrder.State.FAILED:
        raise Conflict(order.said)
    return order


# --- what may be said


def _path(path: str) -> str:
    clean = os.path.normpath(path)
    if not path.startswith("/") or "\0" in path or clean.startswith("//"):
        raise Invalid("The folder of a drive is an absolute path, such as /srv/disk1.", field="path")
    if len(clean) > PATH_MAX:
        raise Invalid(f"The path of a drive has at most {PATH_MAX} characters.", field="path")
    if clean == "/" or any(clean == no or clean.startswith(no + "/") for no in _NOT_FOR_DRIVES):
        raise Invalid(f"{clean} is no place to keep objects.", field="path")
    return clean


def _weight(weight: float) -> float:
    if not WEIGHT_MIN <= weight <= WEIGHT_MAX:  # NaN is neither.
        raise Invalid(f"The weight of a drive is a number from {WEIGHT_MIN:g} to {WEIGHT_MAX:g}.", field="weight")
    return float(weight)


def _domain(domain: str) -> str:
    if len(domain) > DOMAIN_MAX or not domain.isprintable():
        raise Invalid(f"The failure domain of a drive has at most {DOMAIN_MAX} printable characters.", field="domain")
    return domain
