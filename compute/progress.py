"""How far the work on instances and volumes is: the step's sentence and a percentage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from cloudbox.common.models import Job
from compute.models import Instance, Volume


@dataclass(frozen=True)
class Progress:
    sentence: str
    percent: int
    retrying: str = ""


def of(rows: Iterable[Instance | Volume]) -> dict[UUID, Progress]:
    """The live job of each, in one query."""
    live = (Job.State.QUEUED, Job.State.RUNNING, Job.State.UNDOING)
    jobs = Job.objects.filter(subject_id__in=[row.id for row in rows], state__in=live).order_by("created_at")
    return {
        job.subject_id: Progress(
            sentence="Undoing" if job.state == Job.State.UNDOING else job.doing,
            percent=round(100 * job.step / job.steps) if job.steps else 0,
            retrying=job.error if job.attempts else "",
        )
        for job in jobs
    }
