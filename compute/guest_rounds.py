"""Ask the agents in the guests, in turn, for what they tell of themselves."""

from __future__ import annotations

import time

from django.db.models import F

from cloudbox.common import clock, events
from cloudbox.common.errors import CloudError
from compute import host
from compute.models import GuestReport, Instance

# A guest may let each question run into its deadline: the others are asked in the next round, those longest unasked first.
ROUND_SECONDS = 20.0


def ask() -> int:
    """One round; returns how many answered."""
    began, answered = time.monotonic(), 0
    rows = Instance.objects.filter(status=Instance.Status.RUNNING).order_by(F("guest_report__at").asc(nulls_first=True))
    for instance in rows.only("id", "project_id"):
        if time.monotonic() - began > ROUND_SECONDS:
            break
        try:
            told = host.hypervisor().guest(instance.id)
        except CloudError:
            continue
        if told is None:
            continue
        answered += 1
        facts = told.as_json()
        before = GuestReport.objects.filter(instance=instance).values_list("facts", flat=True).first()
        GuestReport.objects.update_or_create(instance=instance, defaults={"at": clock.now(), "facts": facts})
        if before != facts:
            events.touch("instance", instance.id, instance.project_id)
    return answered
