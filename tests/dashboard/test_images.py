"""Images in the portal: the form, where a mistake is shown, and the page of one on its way in, ready and failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compute.jobs import import_image
from compute.models import Image
from tests.buckets import Buckets
from tests.world import World, work

Browse = Callable[[str], Any]


def test_bringing_one_in(world: World, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {"disk.raw": bytes(2**20)}})
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    client, at = browse("member"), "/p/shop/images"
    assert 'value="my/disk.raw"' in client.get(f"{at}/new?bucket=disks&key=my/disk.raw").content.decode()
    form = {"name": "Own", "of": "object", "bucket": "disks", "key": "disk.raw", "url": "left over", "min_disk_gib": "2"}
    wrong = client.post(f"{at}/new", form | {"key": ""})
    assert wrong.status_code == 400
    assert b"Name the bucket, and the object in it." in wrong.content
    made = client.post(f"{at}/new", form)
    assert made.status_code == 302
    assert b"It is on its way in: 0 %" in client.get(made["Location"]).content
    work()
    shown = client.get(made["Location"]).content
    assert b"It has neither boot code nor partitions" in shown
    Image.objects.filter(name="Own").update(status="failed", error="The file is a text, not a disk.")
    assert b"The file is a text, not a disk. Delete it" in client.get(made["Location"]).content
    assert b"Failed" in client.get(at).content
