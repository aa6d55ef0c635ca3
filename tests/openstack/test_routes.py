"""Every address of OpenStack's compute dialects, probed as nobody, a stranger, a reader and an administrator, and with what no id is.

The table says the least that may use a method: `open` (anybody), `any` (whoever has a project), `reader`, `member` or `admin` of the
project, `look` (support of the box), `box` (administrators). A line of a thing that is a project's ends with `/…`: to strangers it is
not there.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import transaction

from cloudbox.common.models import Event
from compute import floating_ips, keypairs, networks, ports, routers, security_groups, server_groups, subnets, volumes
from tests.openstack.conftest import Cloud
from tests.routes import http_routes
from tests.world import World, work

NOVA = """
servers                                             GET reader POST member
servers/detail                                      GET reader
servers/<str:id>                                    GET reader PUT member DELETE member
servers/<str:id>/action                             POST member
servers/<str:id>/remote-consoles                    POST member
servers/<str:id>/os-instance-actions                GET reader
servers/<str:id>/os-instance-actions/<str:request_id>  GET reader
servers/<str:id>/ips                                GET reader
servers/<str:id>/ips/<str:network>                  GET reader
servers/<str:id>/diagnostics                        GET reader
servers/<str:id>/os-server-password                 GET member
servers/<str:id>/os-security-groups                 GET reader
servers/<str:id>/metadata                           GET reader PUT member POST member
servers/<str:id>/metadata/<str:key>                 GET reader PUT member DELETE member
servers/<str:id>/tags                               GET reader PUT member DELETE member
servers/<str:id>/tags/<str:tag>                     GET reader PUT member DELETE member
servers/<str:id>/os-volume_attachments              GET reader POST member
servers/<str:id>/os-volume_attachments/<str:volume> GET reader DELETE member
servers/<str:id>/os-interface                       GET reader POST member
servers/<str:id>/os-interface/<str:port>            GET reader DELETE member
flavors                                             GET any POST box
flavors/detail                                      GET any
flavors/<str:id>                                    GET any DELETE box
flavors/<str:id>/os-extra_specs                     GET any
flavors/<str:id>/os-flavor-access                   GET any
images                                              GET reader
images/detail                                       GET reader
images/<str:id>                                     GET reader DELETE box
os-keypairs                                         GET reader POST member
os-keypairs/<str:name>                              GET reader DELETE member
os-security-groups                                  GET reader POST member
os-security-groups/<str:id>                         GET reader PUT member DELETE member
os-security-group-rules                             POST member
os-security-group-rules/<str:id>                    DELETE member
os-server-groups                                    GET reader POST member
os-server-groups/<str:id>                           GET reader DELETE member
os-availability-zone                                GET any
os-availability-zone/detail                         GET look
os-services                                         GET look
os-hypervisors                                      GET look
os-hypervisors/detail                               GET look
os-hypervisors/<str:id>                             GET look
os-quota-sets/<str:id>                              GET reader PUT box
os-quota-sets/<str:id>/detail                       GET reader
os-quota-sets/<str:id>/defaults                     GET any
os-simple-tenant-usage/<str:id>                     GET reader
limits                                              GET any
extensions                                          GET any
"""
NEUTRON = """
extensions                                GET any
extensions/<str:alias>                    GET any
networks                                  GET reader POST member
networks/<str:id>                         GET reader PUT member DELETE member
subnets                                   GET reader POST member
subnets/<str:id>                          GET reader PUT member DELETE member
ports                                     GET reader POST member
ports/<str:id>                            GET reader PUT member DELETE member
routers                                   GET reader POST member
routers/<str:id>                          GET reader PUT member DELETE member
routers/<str:id>/add_router_interface     PUT member
routers/<str:id>/remove_router_interface  PUT member
routers/<str:id>/add_extraroutes          PUT member
routers/<str:id>/remove_extraroutes       PUT member
floatingips                               GET reader POST member
floatingips/<str:id>                      GET reader PUT member DELETE member
security-groups                           GET reader POST member
security-groups/<str:id>                  GET reader PUT member DELETE member
security-group-rules                      GET reader POST member
security-group-rules/<str:id>             GET reader DELETE member
quotas/<str:id>                           GET reader PUT box
quotas/<str:id>/details.json              GET reader
quotas/<str:id>/default                   GET any
availability_zones                        GET any
"""
GLANCE = """
images                              GET reader POST member
images/<str:id>                     GET reader PATCH box DELETE box
images/<str:id>/actions/deactivate  POST box
images/<str:id>/actions/reactivate  POST box
images/<str:id>/members             GET reader
schemas/<str:name>                  GET any
"""
OPEN = """
compute  compute/  compute/v2.1  compute/v2.1/  ^compute/.*$
network  network/  network/v2.0  network/v2.0/  ^network/.*$
image  image/  image/versions  image/v2  image/v2/  ^image/.*$
"""
TABLES = {"compute/v2.1/": NOVA, "network/v2.0/": NEUTRON, "image/v2/": GLANCE}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# As an administrator asks for what the small cloud does not have.
MISSING = {
    "servers/<str:id>/os-volume_attachments/<str:volume>",
    "flavors/<str:id>/os-flavor-access",
    "routers/<str:id>/remove_router_interface",
}
# And what it is told that the box does not do.
REFUSED = {("POST", "image/v2/images")}


def _table() -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {route: {"GET": "open"} for route in OPEN.split()}
    for prefix, table in TABLES.items():
        for line in table.strip().splitlines():
            route, *words = line.split()
            rows[prefix + route] = dict(zip(words[::2], words[1::2], strict=True))
    return rows


ROUTES = _table()
PREFIXES = ("compute", "^compute", "network", "^network", "image", "^image")


def test_every_route_is_in_the_table() -> None:
    assert {route for route in http_routes() if route.startswith(PREFIXES)} == set(ROUTES)


class Probe:
    """Addresses and bodies that would be right, of things of the shop."""

    def __init__(self, world: World) -> None:
        ctx = world.ctx("owner")
        server = world.running(name="probe")
        self.member = world.users["member"]
        self.volume = volumes.create(ctx, name="probe", size_gib=1)
        work()
        group = security_groups.create(ctx, name="probe")
        rule = security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=22)
        port = server.ports.all()[0]
        event = Event.objects.filter(subject_id=server.id, verb="launch").get()
        Event.objects.filter(id=event.id).update(request_id="req-probe")
        type(server).objects.filter(id=server.id).update(metadata={"probe": "1"}, tags={"probe": ""})
        self.ids = {
            "servers": server.id, "flavors": world.flavor.id, "images": world.image.id, "os-security-groups": group.id,
            "os-security-group-rules": rule.id, "os-quota-sets": world.project.id.hex, "os-simple-tenant-usage": world.project.id.hex,
            "os-server-groups": server_groups.create(ctx, name="probe", policy="affinity").id, "os-keypairs": "probe",
            "os-instance-actions": "req-probe", "ips": "private", "metadata": "probe", "tags": "probe", "os-hypervisors": "1",
            "os-interface": port.id, "os-volume_attachments": self.volume.id,
        }  # fmt: skip
        keypairs.create(ctx, name="probe")
        bare = subnets.create_bare(ctx, name="bare")
        lone = networks.create(ctx, name="lone", nat=False)
        router = routers.create(ctx, name="probe")
        assert router.external is not None
        beyond = str(router.external.gateway_ip)
        floating = floating_ips.allocate(ctx)
        reserved = ports.reserve(ctx, network_id=world.network.id)
        self.ids |= {
            "networks": lone.id, "subnets": lone.subnet_id, "ports": reserved.id, "routers": router.id, "floatingips": floating.id,
            "security-groups": group.id, "security-group-rules": rule.id, "quotas": world.project.id.hex, "extensions": "router",
            "schemas": "image",
        }  # fmt: skip
        launch: dict[str, Any] = {"name": "n", "imageRef": str(world.image.id), "flavorRef": str(world.flavor.id)}
        launch["networks"] = [{"uuid": str(world.network.id)}]
        self.bodies: dict[str, Any] = {
            "POST servers": {"server": launch}, "PUT servers/": {"server": {"name": "n"}}, "POST action": {"pause": None},
            "POST remote-consoles": {"remote_console": {"protocol": "vnc", "type": "novnc"}}, "PUT metadata": {"metadata": {"a": "b"}},
            "POST metadata": {"metadata": {"a": "b"}}, "PUT metadata/": {"meta": {"probe": "b"}}, "PUT tags": {"tags": ["a"]},
            "POST os-volume_attachments": {"volumeAttachment": {"volumeId": str(self.volume.id)}},
            "POST os-interface": {"interfaceAttachment": {"net_id": str(world.network.id)}},
            "POST flavors": {"flavor": {"name": "n", "vcpus": 1, "ram": 512, "disk": 1}}, "POST os-keypairs": {"keypair": {"name": "n"}},
            "POST os-security-groups": {"security_group": {"name": "n", "description": "n"}},
            "PUT os-security-groups/": {"security_group": {"name": "n", "description": "n"}},
            "POST os-security-group-rules": {"security_group_rule": {"parent_group_id": str(group.id), "ip_protocol": "udp",
                                                                     "from_port": 1, "to_port": 2}},
            "POST os-server-groups": {"server_group": {"name": "n", "policies": ["affinity"]}},
            "PUT os-quota-sets/": {"quota_set": {"instances": 9}},
            "POST networks": {"network": {"name": "n"}}, "PUT networks/": {"network": {"name": "n"}},
            "POST subnets": {"subnet": {"network_id": str(bare.id), "ip_version": 4, "cidr": "10.88.0.0/24", "dns_nameservers": ["9.9.9.9"],
                                        "allocation_pools": [{"start": "10.88.0.20", "end": "10.88.0.30"}]}},
            "PUT subnets/": {"subnet": {"name": "n", "enable_dhcp": True, "host_routes": []}},
            "POST ports": {"port": {"network_id": str(world.network.id), "fixed_ips": [{"ip_address": "10.20.0.99"}],
                                    "allowed_address_pairs": [{"ip_address": "10.20.0.98"}], "security_groups": [str(group.id)]}},
            "PUT ports/": {"port": {"name": "n", "port_security_enabled": True, "device_id": ""}},
            "POST routers": {"router": {"name": "n", "external_gateway_info": {"network_id": str(router.external_id)}}},
            "PUT routers/": {"router": {"name": "n", "routes": []}}, "PUT add_router_interface": {"subnet_id": str(lone.subnet_id)},
            "PUT remove_router_interface": {"subnet_id": str(world.network.subnet_id)},
            "PUT add_extraroutes": {"router": {"routes": [{"destination": "10.99.0.0/24", "nexthop": beyond}]}},
            "PUT remove_extraroutes": {"router": {"routes": []}},
            "POST floatingips": {"floatingip": {"floating_network_id": str(router.external_id)}},
            "PUT floatingips/": {"floatingip": {"port_id": None, "description": "n"}},
            "POST security-groups": {"security_group": {"name": "n2"}}, "PUT security-groups/": {"security_group": {"name": "n2"}},
            "POST security-group-rules": {"security_group_rule": {"security_group_id": str(group.id), "direction": "ingress",
                                                                  "protocol": "tcp", "port_range_min": 1, "port_range_max": 2}},
            "PUT quotas/": {"quota": {"network": 9}}, "POST images": {"name": "n"},
            "PATCH images/": [{"op": "replace", "path": "/name", "value": "n"}],
        }  # fmt: skip

    def path(self, route: str, bad: str = "") -> str:
        parts: list[str] = []
        for part in route.split("/"):
            parts.append((bad or str(self.ids[parts[-1]])) if part.startswith("<") else part)
        return "/" + "/".join(parts)

    def ask(self, cloud: Cloud, who: str, method: str, route: str, bad: str = "") -> Any:
        *_, before, last = ["", *re.sub(r"<str:\w+>", "", route).split("/")]
        body = self.bodies.get(f"{method} {before}/" if last == "" else f"{method} {last}")
        headers = {"type": "application/openstack-images-v2.1-json-patch"} if method == "PATCH" else {}
        if "/tags" in route or "remote-consoles" in route:
            headers = {"OpenStack-API-Version": "compute 2.26"}
        return cloud.call(who, method, self.path(route, bad), body, **headers)


@pytest.fixture
def probe(cloud: Cloud) -> Probe:
    return Probe(cloud.world)


def _is_ours(answer: Any) -> bool:
    """JSON or nothing, with a request id, and no error of ours; 501 says what the box does not do."""
    kind = answer.get("Content-Type", "application/json")
    ours = answer["X-Openstack-Request-Id"].startswith("req-") and kind == "application/json"
    return ours and answer.status_code in (*range(200, 500), 501)


def _wrong(cloud: Cloud, probe: Probe, who: str, expected: Any) -> list[str]:
    wrong = []
    for route, methods in ROUTES.items():
        for method, least in methods.items():
            if least == "open":
                continue
            with transaction.atomic():
                answer = probe.ask(cloud, who, method, route)
                transaction.set_rollback(True)
            if not expected(route, method, least, answer.status_code) or not _is_ours(answer):
                wrong.append(f"{method} {route} {least}: {answer.status_code} {answer.content[:200]!r}")
    return wrong


def test_nobody(cloud: Cloud, probe: Probe) -> None:
    assert not _wrong(cloud, probe, "", lambda route, method, least, status: status == 401)


def test_a_stranger(cloud: Cloud, probe: Probe) -> None:
    """The admin of another project: the shop's things are not there, and the box is not theirs."""

    def expected(route: str, method: str, least: str, status: int) -> bool:
        if least in ("look", "box"):
            return status == 403
        if "<" in route and least != "any":
            # The catalogue's images and their members are everybody's to see.
            return status in (403, 404) or (status == 200 and "images/" in route and method == "GET")
        return status in (*range(200, 500), 501)

    assert not _wrong(cloud, probe, "stranger", expected)


def test_a_reader(cloud: Cloud, probe: Probe) -> None:
    def expected(route: str, method: str, least: str, status: int) -> bool:
        if least in ("reader", "any"):
            return status in (200, 204) or (status == 404 and any(route.endswith(each) for each in MISSING))
        return status == 403 or (status == 404 and any(route.endswith(each) for each in MISSING))

    assert not _wrong(cloud, probe, "reader", expected)


def test_an_administrator(cloud: Cloud, probe: Probe) -> None:
    """The addresses and bodies are right ones: who may do everything is never refused."""

    def expected(route: str, method: str, least: str, status: int) -> bool:
        if (method, route) in REFUSED:
            return status == 501
        return status in (200, 201, 202, 204, 409) or (status == 404 and any(route.endswith(each) for each in MISSING))

    assert not _wrong(cloud, probe, "admin", expected)


def test_other_methods_and_ids(cloud: Cloud, probe: Probe) -> None:
    """A method that is not in the table is 405; an id that is none 404 or 400; nothing is an error of ours, and nothing is HTML."""
    wrong = []
    for route, methods in ROUTES.items():
        if "^" in route or methods == {"GET": "open"}:
            continue
        for method in METHODS:
            if method not in methods:
                answer = probe.ask(cloud, "admin", method, route)
                if answer.status_code != 405 or not _is_ours(answer):
                    wrong.append(f"{method} {route}: {answer.status_code}")
            elif "<" in route:
                for bad in ("x", "a-b", "9" * 400, "%F0%9F%98%80", "%00", "%ff", "..%2f"):
                    with transaction.atomic():
                        answer = probe.ask(cloud, "admin", method, route, bad)
                        transaction.set_rollback(True)
                    if (
                        answer.status_code not in (400, 404, 409)
                        and not route.endswith(("/defaults", "/default"))
                        and "/tags/" not in route
                    ):
                        wrong.append(f"{method} {route} {bad[:20]}: {answer.status_code}")
                    if not _is_ours(answer):
                        wrong.append(f"{method} {route} {bad[:20]}: {answer.status_code} {answer.content[:100]!r}")
    for path in ("/compute/nothing", "/compute/v2.1/nothing", "/compute/v2.1/servers/", "/compute/v9"):
        answer = cloud.call("member", "GET", path)
        if answer.status_code != 404 or not _is_ours(answer):
            wrong.append(f"GET {path}: {answer.status_code}")
    assert not wrong, "\n" + "\n".join(wrong)


QUERIES = "limit marker sort_key start offset sort sort_dir name ip status flavor changes-since user_id".split()
HOSTILE: list[Any] = [None, True, -1, 10**30, "", "x\x00", "\ud800", "x" * 100_000, [[]], [None], {"a": {}}, [{"a": 1}] * 20]


def _bent(body: Any) -> Any:
    """The body with each of its places in turn replaced by what does not belong there."""
    yield from HOSTILE
    if isinstance(body, dict):
        for key, value in body.items():
            for bent in _bent(value):
                yield body | {key: bent}


@pytest.mark.slow
def test_bodies(cloud: Cloud, probe: Probe) -> None:
    """Every body of the table, bent at every place, and bytes that are no JSON: clear answers, never an error of ours."""
    wrong = []
    for route, methods in ROUTES.items():
        for method in methods:
            if method not in ("POST", "PUT", "PATCH"):
                continue
            *_, before, last = ["", *re.sub(r"<str:\w+>", "", route).split("/")]
            body = probe.bodies.get(f"{method} {before}/" if last == "" else f"{method} {last}")
            texts: list[Any] = [json.dumps(bent) for bent in _bent(body)] if body is not None else []
            for text in [*texts, b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}']:
                with transaction.atomic():
                    at = {"OpenStack-API-Version": "compute 2.26"} if "compute" in route else {}
                    answer = cloud.call("admin", method, probe.path(route), text, **at)
                    transaction.set_rollback(True)
                if not _is_ours(answer):
                    wrong.append(f"{method} {route} {text[:200]!r}: {answer.status_code} {answer.content[:200]!r}")
    assert not wrong, "\n" + "\n".join(wrong[:40])


@pytest.mark.slow
def test_queries(cloud: Cloud, probe: Probe) -> None:
    """Every list, with every word of its query bent."""
    wrong = []
    for route, methods in ROUTES.items():
        if methods.get("GET") in (None, "open") or "<" in route.rsplit("/", 1)[-1]:
            continue
        words = QUERIES if route.endswith(("detail", "images", "flavors")) else QUERIES[:4]
        for word in words:
            for value in ("-1", "(", "%00", "9" * 50, "%F0%9F%98%80:b:c", "x" * 5000):
                with transaction.atomic():
                    answer = cloud.call("admin", "GET", f"{probe.path(route)}?{word}={value}")
                    transaction.set_rollback(True)
                if not _is_ours(answer):
                    wrong.append(f"GET {route}?{word}={value[:40]}: {answer.status_code} {answer.content[:200]!r}")
    assert not wrong, "\n" + "\n".join(wrong[:40])
