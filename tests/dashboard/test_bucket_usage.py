"""The Usage tab of a bucket and the project's page: a chart with its figures, and the form for an inventory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from cloudbox.common import clock
from cloudbox.common.models import Job
from storage import configurations
from storage.models import Bucket, BucketHour, BucketTraffic
from tests.world import World

Browse = Callable[..., Client]
WHERE = "/p/shop/buckets/media/usage"


@pytest.fixture
def media(world: World) -> Bucket:
    """It has held two GiB for an hour."""
    row = configurations.create(world.ctx("owner"), name="media")
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    BucketHour.objects.create(
        bucket_id=row.id, project=row.project, name="media", storage_class="replicated-3", hour=hour, byte_seconds=2 * 2**30 * 3600
    )
    return row


def test_the_chart_and_its_figures(browse: Browse, media: Bucket) -> None:
    text = browse("reader").get(WHERE).content.decode()
    assert text.count("<rect ") == 2 * 30
    assert "2 GiB-hours" in text
    assert "Sent each day: nothing at the most" in text
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    BucketTraffic.objects.create(bucket_id=media.id, project=media.project, name="media", hour=hour, reads=7, sent_bytes=3 * 2**20)
    text = browse("reader").get(WHERE).content.decode()
    assert "Sent each day: 3.0 MiB at the most" in text
    assert "<dt>Reads of objects</dt><dd>7</dd>" in text
    assert "3.0 MiB sent" in browse("reader").get("/p/shop/buckets-usage").content.decode()
    page = browse("reader").get("/p/shop/buckets-usage")
    assert [(row["name"], row["gib_hours"], row["gone"]) for row in page.context["rows"]] == [("media", 2.0, False)]
    media.delete()
    assert "deleted" in browse("reader").get("/p/shop/buckets-usage").content.decode()
    assert browse("stranger").get("/p/shop/buckets-usage").status_code == 404


def test_an_inventory_is_asked_for(browse: Browse, media: Bucket) -> None:
    form = {"form": "inventory", "target": "media", "prefix": "in/", "versions": "on"}
    assert browse("reader").post(WHERE, form).status_code == 403
    assert browse("member").post(WHERE, {**form, "target": "never-was"}).status_code == 404
    assert browse("member").post(WHERE, form).status_code == 302
    job = Job.objects.get(kind="bucket-inventory")
    assert (job.arguments["prefix"], job.arguments["versions"]) == ("in/", True)
    assert "is being written: 0 lines so far" in browse("member").get(WHERE).content.decode()
    assert browse("member").post(WHERE, form).status_code == 409


def test_nothing_yet(browse: Browse, world: World) -> None:
    configurations.create(world.ctx("owner"), name="media")
    assert "nothing at the most" in browse("reader").get(WHERE).content.decode()
    assert "Nothing was held this month" in browse("reader").get("/p/shop/buckets-usage").content.decode()
