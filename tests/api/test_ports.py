"""Ports, address groups, names, the tracer and the topology by REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.world import World, work

Speak = Callable[..., Any]


def test_a_port_s_life(world: World, speak: Speak) -> None:
    api = speak("member")
    body = {"network_id": str(world.network.id), "ip": "10.20.0.50", "name": "database", "allowed_pairs": [{"ip": "10.20.0.51"}]}
    made = api.post("/ports", body, Idempotency_Key="one")
    assert (made.status_code, made.json()["ip"], made.json()["is_reserved"]) == (201, "10.20.0.50", True)
    assert api.post("/ports", body, Idempotency_Key="one").json()["id"] == made.json()["id"]
    at = f"/ports/{made.json()['id']}"
    changed = api.patch(at, {"rate_in_kbps": 1000, "dns_name": "db", "allowed_pairs": []}).json()
    assert (changed["rate_in_kbps"], changed["dns_name"], changed["allowed_pairs"]) == (1000, "db", [])
    assert api.patch(at, {"rate_in_kbps": None}).json()["rate_in_kbps"] is None
    assert api.patch(at, {"port_security": False}).status_code == 403
    assert speak("owner").patch(at, {"port_security": False}).json()["port_security"] is False
    assert [row["ip"] for row in api.get("/ports?q=database").json()["items"]] == ["10.20.0.50"]
    assert api.post("/ports", body | {"ip": "10.20.0.50"}).status_code == 409
    assert api.delete(at).status_code == 204
    assert api.get(at).status_code == 404


def test_address_groups_and_names(world: World, speak: Speak) -> None:
    api = speak("member")
    made = api.post("/address-groups", {"name": "offices", "cidrs": ["203.0.113.9/24", "2001:db8::/32"]})
    assert (made.status_code, made.json()["cidrs"]) == (201, ["203.0.113.0/24", "2001:db8::/32"])
    group = api.post("/security-groups", {"name": "web"}).json()
    rule = {"direction": "ingress", "protocol": "gre", "remote_address_group_id": made.json()["id"]}
    told = api.post(f"/security-groups/{group['id']}/rules", rule).json()
    assert (told["sentence"], told["hits"], told["remote_address_group"]["name"]) == ("GRE in from addresses offices", 0, "offices")
    assert api.delete(f"/address-groups/{made.json()['id']}").status_code == 409
    world.running()
    names = api.put(f"/networks/{world.network.id}/names", {"dns_domain": "lab.example.org"}).json()
    assert [row["full_name"] for row in names] == ["web.lab.example.org"]
    assert api.put(f"/networks/{world.network.id}/names", {"dns_domain": "a b"}).status_code == 422


def test_why_can_it_not_be_reached(world: World, speak: Speak) -> None:
    """Blocked by the receiver's groups, with the rule that would help; then with that rule it arrives."""
    api, web = speak("member"), world.running()
    group = api.post("/security-groups", {"name": "db"}).json()
    db = world.running(name="db", security_group_ids=(group["id"],))
    question = f"/reachability?from_instance_id={web.id}&to_instance_id={db.id}&protocol=tcp&port=5432"
    answer = api.get(question).json()
    assert (answer["verdict"], [step["passes"] for step in answer["steps"]]) == ("blocked", [True, True, False])
    address = web.ports.get().ip
    assert answer["fix"]["sentence"] == f"Add to the group db: TCP 5432 in from {address}."
    rule = {"direction": "ingress", "protocol": "tcp", "port_min": 5432, "remote_cidr": f"{address}/32"}
    api.post(f"/security-groups/{group['id']}/rules", rule)
    answer = api.get(question).json()
    assert (answer["verdict"], answer["steps"][-1]["rule"]["sentence"]) == ("reaches", f"TCP 5432 in from {address}/32")
    api.post(f"/instances/{db.id}/stop", {"force": True})
    work()
    assert (
        api.get(question).json()["sentence"] == "Blocked: No running port has the address 10.20.0.11."
        or "stopped" in api.get(question).text
    )
    assert api.get("/reachability?protocol=tcp&port=1").status_code == 422
    assert speak("stranger").get(f"/api/v1/projects/elsewhere{question}").status_code == 404


def test_the_topology(world: World, speak: Speak) -> None:
    world.running()
    branches = speak("reader").get("/topology").json()
    cards = [card for branch in branches for segment in branch["segments"] for card in segment["ports"]]
    assert [(card["instance"]["name"], card["status"]) for card in cards] == [("web", "running")]


def test_ipv6_and_outer_addresses(world: World, speak: Speak) -> None:
    """A network with IPv6, a reserved port on it that an instance is launched with, and its floating IP: told wherever the card is."""
    api = speak("member")
    made = api.post("/networks", {"name": "six", "ipv6_mode": "dhcp-stateful", "ipv6_cidr": "fd00:5::/64"}).json()
    assert (made["ipv6_mode"], made["ipv6_cidr"], made["ipv6_gateway_ip"]) == ("dhcp-stateful", "fd00:5::/64", "fd00:5::1")
    assert api.post("/networks", {"name": "bad", "ipv6_cidr": "fd00:5::/56"}).status_code == 422
    assert api.post("/networks", {"name": "bad", "ipv6_mode": "magic"}).status_code == 422
    port = api.post("/ports", {"network_id": made["id"], "ip": "10.21.0.50"}).json()
    assert (port["ip6"], port["floating_ip"]) == ("fd00:5::a15:32", None)
    body = {"name": "db", "image_id": str(world.image.id), "flavor_id": str(world.flavor.id), "port_ids": [port["id"]]}
    launched = api.post("/instances", body)
    assert launched.status_code == 202, launched.text
    work()
    floating = api.post("/floating-ips", {}).json()
    api.post(f"/floating-ips/{floating['id']}/associate", {"port_id": port["id"]})
    told = {"id": floating["id"], "address": floating["address"]}
    assert api.get(f"/ports/{port['id']}").json()["floating_ip"] == told
    card = api.get("/instances?q=db").json()["items"][0]["nics"][0]
    assert (card["id"], card["ip6"], card["floating_ip"]) == (port["id"], "fd00:5::a15:32", told)
    assert api.post("/instances", body | {"name": "second"}).status_code == 409
    off = api.patch(f"/networks/{made['id']}", {"ipv6_mode": ""}).json()
    assert (off["ipv6_mode"], off["ipv6_cidr"]) == ("", "")
    assert api.get(f"/ports/{port['id']}").json()["ip6"] == ""
