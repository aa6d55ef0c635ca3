"""Images by REST: brought in from a bucket, refused for what is no source, told of once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compute.jobs import import_image
from tests.buckets import Buckets
from tests.world import World, work

Speak = Callable[..., Any]


def test_bringing_one_in(world: World, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Buckets({"disks": {"disk.raw": bytes(2**20)}})
    monkeypatch.setattr(import_image, "store_of", lambda project_id: store)
    api = speak("member")
    body = {"name": "Own", "bucket": "disks", "key": "disk.raw", "os": "debian"}
    made = api.post("/images", body, Idempotency_Key="one")
    assert (made.status_code, made.json()["status"], made.json()["progress"]) == (202, "importing", 0)
    assert api.post("/images", body, Idempotency_Key="one").json()["id"] == made.json()["id"]
    work()
    shown = api.get(f"/images/{made.json()['id']}").json()
    assert (shown["status"], shown["format"], shown["visibility"], shown["virtual_bytes"]) == ("ready", "raw", "private", 2**20)
    assert shown["facts"]["boot"]["sentence"].startswith("It has neither boot code nor partitions")
    assert speak("stranger").get(f"/images/{shown['id']}").status_code == 404
    assert speak("reader").post("/images", body).status_code == 403
    for wrong in ({"name": "x"}, body | {"url": "https://a.example/"}, {"name": "x", "url": "gopher://a"}, body | {"checksum": "1"}):
        assert api.post("/images", wrong).status_code == 422, wrong
