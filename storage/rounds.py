"""What one worker of the data plane does beside serving: lifecycle every hour, counting and X-Delete-At every minute, events at once."""

from __future__ import annotations

import asyncio
import logging
import time

from storage import deliveries, expirer, outbox, usage
from storage.engine.rounds import Progress
from storage.plane import Plane

log = logging.getLogger(__name__)
COUNT_SECONDS = 60.0
EXPIRE_SECONDS = 3600.0
FORWARD_SECONDS = 0.5


async def run(plane: Plane, *, expire_seconds: float = EXPIRE_SECONDS, count_seconds: float = COUNT_SECONDS) -> None:
    """Until it is cancelled. What goes wrong is logged, and tried again the next time."""
    expire_at = time.monotonic() + min(expire_seconds, 60.0)  # Not at once: a worker that has just started has to serve.
    while True:
        await asyncio.sleep(min(count_seconds, expire_seconds))
        try:
            await plane.run(usage.record, plane.store.usage)
            _say(plane, Progress("expire", done=await expirer.reap(plane, usage.infos)))
            if time.monotonic() >= expire_at:
                expire_at = time.monotonic() + expire_seconds
                done = await expirer.run(plane, await plane.run(usage.with_lifecycle))
                notes = [f"{done.locked:,} versions stay, since a lock keeps them"] if done.locked else []
                _say(plane, Progress("lifecycle", done=done.expired + done.aborted, left=done.failed, notes=notes))
                if done.expired or done.aborted or done.failed:
                    log.info("lifecycle: %s", done)
        except Exception:
            log.exception("a round of the object store failed")


def _say(plane: Plane, progress: Progress) -> None:
    """For the admin console, with the engine's own rounds."""
    if progress.done or progress.what not in plane.store.rounds:
        plane.store.rounds[progress.what] = (time.time(), progress)


async def forward(plane: Plane, *, seconds: float = FORWARD_SECONDS) -> None:
    """Carry events from the outbox to the tables, until it is cancelled. While PostgreSQL is away they stay where they are."""
    while True:
        await asyncio.sleep(seconds)
        try:
            _say(plane, Progress("events", done=await forward_once(plane)))
        except Exception:
            log.exception("events could not be carried over; they wait")


async def forward_once(plane: Plane) -> int:
    """All that wait; returns how many. Cut off before the lines are struck, it finds them again, and writes nothing twice."""
    count, after = 0, b""
    while True:
        ready, void, more = outbox.waiting(plane, after=after)
        if ready:
            await plane.run(deliveries.accept, [(line.id, line.event) for line in ready])
        await outbox.strike(plane, [*ready, *void])
        count += len(ready)
        if more is None:
            return count
        after = more
