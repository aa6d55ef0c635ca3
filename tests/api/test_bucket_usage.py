"""What buckets held, and inventories, by the REST API."""

from __future__ import annotations

from collections.abc import Callable

from cloudbox.common import clock
from storage import configurations
from storage.models import Bucket, BucketHour, BucketTraffic
from tests.api.conftest import Api
from tests.world import World


def test_traffic(world: World, speak: Callable[..., Api]) -> None:
    """Every hour and every day is there; what is no number of days is refused."""
    row = configurations.create(world.ctx("owner"), name="media")
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    BucketTraffic.objects.create(bucket_id=row.id, project=row.project, name="media", hour=hour, reads=3, sent_bytes=4096)
    reader = speak("reader")
    days = reader.get("/buckets/media/traffic?days=2").json()["items"]
    assert [(one["reads"], one["sent_bytes"]) for one in days] == [(0, 0), (3, 4096)]
    hours = reader.get("/buckets/media/traffic?days=1&by=hour").json()["items"]
    assert sum(one["reads"] for one in hours) == 3
    assert len(hours) == hour.hour + 1
    assert reader.get("/buckets/media/traffic?days=0").status_code == 422
    assert speak("stranger").get("/buckets/media/traffic").status_code == 404


def test_usage_and_inventory(world: World, speak: Callable[..., Api]) -> None:
    member = speak("member")
    member.post("/buckets", {"name": "media"})
    row = Bucket.objects.get(name="media")
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    BucketHour.objects.create(
        bucket_id=row.id, project=row.project, name="media", storage_class="replicated-3", hour=hour, byte_seconds=2**30 * 3600
    )
    days = member.get("/buckets/media/usage?days=7").json()["items"]
    assert (len(days), days[-1]["gib_hours"]) == (7, 1.0)
    assert member.get("/buckets/media/usage?days=0").status_code == 422
    assert member.get("/buckets/media/usage?by=hour&days=1").json()["items"][-1]["gib_hours"] == 1.0
    assert [(one["name"], one["gib_hours"]) for one in member.get("/buckets-usage").json()["items"]] == [("media", 1.0)]
    assert member.get("/buckets/media/inventory").json()["sentence"] == "No inventory was asked for yet."
    assert speak("reader").post("/buckets/media/inventory", {}).status_code == 403
    begun = member.post("/buckets/media/inventory", {"versions": True})
    assert (begun.status_code, begun.json()["under_way"], begun.json()["target"]) == (202, True, "media")
    assert member.post("/buckets/media/inventory", {}).status_code == 409
    assert member.get("/buckets/media/inventory").json()["key"].startswith("inventory/media/")
