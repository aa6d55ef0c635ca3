"""Idempotency keys: the same key and body give the first answer, secrets included; another body is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection

from compute.models import Instance, Keypair
from dashboard.api import idempotency
from tests.api.conftest import Api
from tests.world import World

Speak = Callable[..., Any]


def test_the_first_answer_again(world: World, speak: Speak) -> None:
    api, key = speak("member"), str(uuid4())
    first = api.post("/keypairs", {"name": "laptop"}, Idempotency_Key=key)
    again = api.post("/keypairs", {"name": "laptop"}, Idempotency_Key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Location"] == first["Location"]
    assert again["Idempotency-Replayed"] == "true"
    assert Keypair.objects.count() == 1


def test_answers_lie_sealed(world: World, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private key is not readable in Redis."""
    kept: list[Any] = []
    monkeypatch.setattr(idempotency.cache, "set", lambda key, value, seconds: kept.append(value))
    private = speak("member").post("/keypairs", {"name": "laptop"}, Idempotency_Key=str(uuid4())).json()["private_key"]
    assert private[50:90] not in str(kept)
    assert b"private_key" in idempotency._vault().decrypt(kept[0]["answer"])


def test_another_body(world: World, speak: Speak) -> None:
    api, key = speak("member"), str(uuid4())
    api.post("/keypairs", {"name": "laptop"}, Idempotency_Key=key)
    answer = api.post("/keypairs", {"name": "desktop"}, Idempotency_Key=key)
    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency-key-reused"


def test_another_person_and_another_route(world: World, speak: Speak) -> None:
    key = str(uuid4())
    assert speak("member").post("/keypairs", {"name": "a"}, Idempotency_Key=key).status_code == 201
    assert speak("owner").post("/keypairs", {"name": "b"}, Idempotency_Key=key).status_code == 201
    assert speak("owner").post("/networks", {"name": "b"}, Idempotency_Key=key).status_code == 201


def test_a_refusal_is_not_remembered(world: World, speak: Speak) -> None:
    api, key = speak("member"), str(uuid4())
    assert api.post("/networks", {"name": "private"}, Idempotency_Key=key).json()["code"] == "already-exists"
    world.network.name = "other"
    world.network.save()
    assert api.post("/networks", {"name": "private"}, Idempotency_Key=key).status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 65, "a b", "ä"])
def test_keys_have_a_form(world: World, speak: Speak, key: str) -> None:
    assert speak("member").post("/networks", {"name": "n"}, Idempotency_Key=key).status_code == 422


def test_a_launch_outlives_the_cache(world: World, speak: Speak) -> None:
    """The key is the launch's token too: after Redis has forgotten it, the same instances are still the answer."""
    api, key = speak("member"), str(uuid4())
    body = {"name": "web", "image_id": str(world.image.id), "flavor_id": str(world.flavor.id), "count": 2}
    first = api.post("/instances", body, Idempotency_Key=key).json()
    cache.clear()
    again = api.post("/instances", body, Idempotency_Key=key).json()
    assert [row["id"] for row in again["items"]] == [row["id"] for row in first["items"]]
    assert Instance.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_at_once(world: World) -> None:
    """Two requests with one key at the same moment: one network, and nobody is told of a name that is taken."""
    token, key, answers = world.token("member", "member"), str(uuid4()), []
    ready = threading.Barrier(2)

    def ask() -> None:
        ready.wait()
        answers.append(Api(token, "shop").post("/networks", {"name": "twice"}, Idempotency_Key=key))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted((answer.status_code, answer.json().get("code", "")) for answer in answers)
    assert codes in ([(201, ""), (201, "")], [(201, ""), (409, "idempotency-in-progress")])
