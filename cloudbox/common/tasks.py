"""The two tasks that Procrastinate knows of: run a job, run a reconciler."""

from __future__ import annotations

from uuid import UUID

from django.db import connection
from procrastinate.contrib.django import app

from cloudbox.common import jobs


@app.task(name="cloudbox.run_job", queue="box")
def run_job(job_id: str) -> None:
    """Carry one job; the lock of its subject is held meanwhile."""
    try:
        jobs.run(UUID(job_id))
    finally:
        connection.close()  # the thread goes back to its pool; so does the connection


@app.task(name="cloudbox.reconcile", queue="box")
def reconcile(name: str) -> None:
    """One round of one reconciler."""
    try:
        jobs.registry.reconcilers[name]()
    finally:
        connection.close()
