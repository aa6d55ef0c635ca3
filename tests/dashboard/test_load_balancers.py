"""Load balancers in the portal: the whole way by forms, and what the pages say."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client

from compute import desired, desired_balancers, host, load_balancers
from compute.models import LoadBalancer, PoolMember
from tests.certificates import certificate, pem
from tests.world import World

Browse = Callable[..., Client]


def test_the_whole_way(world: World, browse: Browse) -> None:
    """Created by one form; a member fails and the page says why; it is switched off and on; a pool and a listener come and go."""
    one, two = world.running(name="one"), world.running(name="two")
    client, base = browse("member"), f"/p/{world.project.slug}/load-balancers"
    cards = [str(each.ports.get().id) for each in (one, two)]
    form = {
        "name": "front",
        "description": "",
        "network_id": str(world.network.id),
        "protocol": "http",
        "number": "80",
        "member_number": "8080",
        "algorithm": "round-robin",
        "check_path": "/health",
        "port_ids": cards[:1],
    }
    refused = client.post(f"{base}/new", form | {"protocol": "https", "certificate": "x", "private_key": "TOP-SECRET"})
    assert refused.status_code >= 400
    assert "This is no certificate in PEM" in refused.content.decode()
    assert "TOP-SECRET" not in refused.content.decode()
    assert not LoadBalancer.objects.exists()
    assert client.post(f"{base}/new", form).status_code == 302
    row = LoadBalancer.objects.get()
    page = f"{base}/{row.id}"
    (pool,) = row.pools.all()
    add = {"pool_id": str(pool.id), "port_id": cards[1], "number": "8080", "weight": "5"}
    assert client.post(page, add).status_code == 302
    desired.apply_fabric()
    bad = PoolMember.objects.get(port_id=cards[1])
    host.fabric().down.add(bad.id)  # type: ignore[attr-defined]
    desired_balancers.observe()
    shown = client.get(page).content.decode()
    assert "1 of 2 up" in shown
    assert "takes no connection" in shown
    assert "1 of 2 up" in client.get(base).content.decode()

    def press(target: object, key: str) -> None:
        assert client.post(f"{page}/do/{key}", {"target": str(target)}).status_code == 302

    press(bad.id, "disable-member")
    bad.refresh_from_db()
    assert not bad.is_enabled
    press(bad.id, "enable-member")
    press(bad.id, "remove-member")
    assert PoolMember.objects.count() == 1
    settings = {"name": "raw", "protocol": "tcp", "algorithm": "source", "check_seconds": "9", "check_falls": "", "timeout_seconds": "60"}
    assert client.post(f"{page}/pools/new", settings).status_code == 302
    raw = row.pools.get(name="raw")
    assert (raw.algorithm, raw.check_seconds, raw.check_falls) == ("source", 9, 3)
    assert client.post(f"{page}/pools/{raw.id}", settings | {"name": "tcp"}).status_code == 302
    listener = {"protocol": "tcp", "number": "7000", "pool_id": str(raw.id), "timeout_seconds": "60"}
    assert client.post(f"{page}/listeners/new", listener).status_code == 302
    (other,) = row.listeners.filter(number=7000)
    client.post(f"{page}/pools/new", settings | {"name": "spare"})
    spare = row.pools.get(name="spare")
    change = {"pool_id": str(spare.id), "timeout_seconds": "600"}
    assert pool.name not in _choices(client.get(f"{page}/listeners/{other.id}").content.decode())
    assert client.post(f"{page}/listeners/{other.id}", change).status_code == 302
    other.refresh_from_db()
    assert (other.pool_id, other.timeout_seconds, other.number) == (spare.id, 600, 7000)
    for wrong in ({"pool_id": str(pool.id)}, {"timeout_seconds": "0"}, {"pool_id": ""}):
        assert client.post(f"{page}/listeners/{other.id}", change | wrong).status_code >= 400
    assert client.get(f"{page}/listeners/{uuid4()}").status_code == 404
    client.post(f"{page}/listeners/{other.id}", change | {"pool_id": str(raw.id)})
    press(spare.id, "delete-pool")
    press(raw.id, "delete-pool")
    press("", "delete-pool")
    assert row.pools.count() == 2
    press(row.listeners.get(number=7000).id, "remove-listener")
    press(raw.id, "delete-pool")
    assert row.pools.count() == 1
    assert client.get(f"{page}/pools/{uuid4()}").status_code == 404
    assert client.post(f"{page}/do/nonsense").status_code == 404
    assert client.post(f"{page}/settings", {"name": "edge", "description": "The shop"}).status_code == 302
    assert "The shop" in client.get(page).content.decode()
    assert client.post(f"{page}/delete").status_code == 302
    assert not LoadBalancer.objects.exists()
    assert "No load balancers" in client.get(base).content.decode()


def test_the_next_certificate(world: World, browse: Browse) -> None:
    """A listener gets the certificate that comes after; half of one is refused, and keeps what is there."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    (old, old_key), (new, new_key) = [(certificate(key, name=f"v{n}.example.org"), pem(key)) for n, key in enumerate(keys)]
    row = load_balancers.launch(
        world.ctx("member"), name="front", network_id=world.network.id, protocol="https", number=443, member_number=80, port_ids=[],
        certificate=old, private_key=old_key,
    )  # fmt: skip
    (listener,) = row.listeners.all()
    names = listener.certificate_names
    client, page = browse("member"), f"/p/{world.project.slug}/load-balancers/{row.id}/listeners/{listener.id}"
    assert "v0.example.org" in client.get(page).content.decode()
    same = {"pool_id": str(listener.pool_id), "timeout_seconds": "60"}
    assert client.post(page, same | {"certificate": new, "private_key": old_key}).status_code >= 400
    assert client.post(page, same | {"certificate": new}).status_code >= 400
    assert client.post(page, same).status_code == 302
    listener.refresh_from_db()
    assert listener.certificate_names == names
    assert client.post(page, same | {"certificate": new, "private_key": new_key}).status_code == 302
    listener.refresh_from_db()
    assert listener.certificate_names != names
    assert "v1.example.org" in client.get(page).content.decode()


def _choices(html: str) -> str:
    return html.partition('name="pool_id"')[2].partition("</select>")[0]
