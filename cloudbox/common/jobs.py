"""Slow work: a job is a list of small idempotent steps, each with its undo.

Procrastinate queues, claims, locks and repeats; a Job row remembers the step. After each step the index is saved; a crash
repeats that step, hence idempotent. `Unavailable` retries with growing pauses, `Later` waits without counting as a try, any
other error undoes from the failed step back to the first, then `on_failed` tells the subject's row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app

from cloudbox.common.errors import CloudError, Unavailable
from cloudbox.common.events import Actor, touch
from cloudbox.common.models import Job

log = logging.getLogger(__name__)

ATTEMPTS_MAX = 6
_PAUSES_SECONDS = (1, 2, 4, 8, 15)


class Later(Exception):
    """A step is not done yet and asks to be called again after so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Run:
    """What a step gets: the job's row. Steps find their subject by `subject_id` and trust nothing older than the tables."""

    job: Job

    @property
    def subject_id(self) -> UUID:
        return self.job.subject_id

    @property
    def actor(self) -> Actor:
        job = self.job
        return Actor(id=job.actor_id, name=job.actor or "Cloudbox", api=job.api or "system", request_id=job.request_id)

    @property
    def arguments(self) -> dict[str, Any]:
        return self.job.arguments


@dataclass(frozen=True)
class Step:
    """`doing` is the sentence that people see while it runs."""

    doing: str
    do: Callable[[Run], None]
    undo: Callable[[Run], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A sort of job. `on_failed` gets the sentence of the error after everything was undone."""

    name: str
    noun: str
    steps: tuple[Step, ...]
    on_failed: Callable[[Run, str], None]


@dataclass
class Registry:
    kinds: dict[str, Kind] = field(default_factory=dict)
    reconcilers: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def add(self, kinds: Iterable[Kind]) -> None:
        self.kinds |= {kind.name: kind for kind in kinds}


registry = Registry()


def enqueue(kind: str, subject_id: UUID, *, actor: Actor, project_id: UUID | None, arguments: dict[str, Any] | None = None) -> Job:
    """Write the job and hand it to the queue, in the caller's transaction: both happen, or neither."""
    job = Job.objects.create(
        kind=kind,
        subject_id=subject_id,
        project_id=project_id,
        arguments=arguments or {},
        steps=len(registry.kinds[kind].steps),
        doing=registry.kinds[kind].steps[0].doing,
        actor_id=actor.id,
        actor=actor.name,
        api=actor.api,
        request_id=actor.request_id,
    )
    _defer(job)
    return job


def _defer(job: Job, *, seconds: int = 0) -> None:
    later = {"schedule_in": {"seconds": seconds}} if seconds else {}
    app.configure_task("cloudbox.run_job", lock=f"subject:{job.subject_id}", **later).defer(job_id=str(job.id))  # type: ignore[arg-type]


def wake(reconciler: str) -> None:
    """Ask for a round of a reconciler soon. Already asked for and not begun: nothing to add."""
    from procrastinate.exceptions import AlreadyEnqueued

    try:
        with transaction.atomic():
            app.configure_task("cloudbox.reconcile", queueing_lock=f"reconcile:{reconciler}").defer(name=reconciler)
    except AlreadyEnqueued:
        log.debug("%s is queued already", reconciler)


def run(job_id: UUID) -> None:
    """Carry a job as far as it goes; called by the worker, any number of times."""
    job = Job.objects.get(id=job_id)
    kind = registry.kinds[job.kind]
    here = Run(job)
    if job.state in (Job.State.DONE, Job.State.FAILED):
        return
    if job.state == Job.State.UNDOING:  # a crash came in the middle of undoing
        _undo(kind, here, job.error or "The box was interrupted.")
        return
    while job.step < len(kind.steps):
        step = kind.steps[job.step]
        _save(kind, job, state=Job.State.RUNNING, doing=step.doing)
        try:
            step.do(here)
        except Later as later:
            _defer(job, seconds=later.seconds)
            return
        except Unavailable as error:
            if job.attempts + 1 < ATTEMPTS_MAX:
                pause = _PAUSES_SECONDS[min(job.attempts, len(_PAUSES_SECONDS) - 1)]
                log.warning("job %s, step %r: %s; again in %s s", job.kind, step.doing, error, pause)
                _save(kind, job, attempts=job.attempts + 1, error=str(error)[:500])
                _defer(job, seconds=pause)
                return
            _undo(kind, here, error.message)
            return
        except CloudError as error:
            _undo(kind, here, error.message)
            return
        except Exception:
            log.exception("job %s of %s failed at step %r", job.kind, job.subject_id, step.doing)
            _undo(
                kind,
                here,
                f"An internal error happened while {step.doing[0].lower()}{step.doing[1:]}. The log of the worker has it under {job.id}.",
            )
            return
        _save(kind, job, step=job.step + 1, attempts=0, error="")
    _save(kind, job, state=Job.State.DONE, doing="")


def _undo(kind: Kind, here: Run, sentence: str) -> None:
    """Undo from the present step (it may have half happened) to the first. An undo that fails is left to the reconcilers."""
    job = here.job
    _save(kind, job, state=Job.State.UNDOING, error=sentence[:500])
    for step in reversed(kind.steps[: job.step + 1]):
        if step.undo is not None:
            try:
                step.undo(here)
            except Exception:
                log.exception("undo of %r for %s failed; the reconcilers take over", step.doing, job.subject_id)
    kind.on_failed(here, sentence)
    _save(kind, job, state=Job.State.FAILED, doing="")


def _save(kind: Kind, job: Job, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(job, name, value)
    with transaction.atomic():
        job.save(update_fields=[*fields, "updated_at"])
        if job.project_id is not None:
            touch(kind.noun, job.subject_id, job.project_id)
