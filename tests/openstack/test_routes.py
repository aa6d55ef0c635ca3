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
from django.conf import settings
from django.db import transaction

from cloudbox.common.models import Event
from compute import (
    floating_ips,
    health,
    image_uploads,
    keypairs,
    networks,
    ports,
    routers,
    security_groups,
    server_groups,
    snapshots,
    subnets,
    volume_transfers,
    volume_types,
    volumes,
)
from compute.api.openstack import hosts
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
images/<str:id>/file                GET reader PUT member
images/<str:id>/stage               PUT member
images/<str:id>/import              POST member
images/<str:id>/tags/<str:tag>      PUT member DELETE member
images/<str:id>/members             GET reader POST member
images/<str:id>/members/<str:project>  GET reader PUT member DELETE member
schemas/<str:name>                  GET any
info/stores                         GET any
info/import                         GET any
"""
CINDER = """
volumes                                  GET reader POST member
volumes/detail                           GET reader
volumes/summary                          GET reader
volumes/<str:id>                         GET reader PUT member DELETE member
volumes/<str:id>/action                  POST member
volumes/<str:id>/metadata                GET reader PUT member POST member
volumes/<str:id>/metadata/<str:key>      GET reader PUT member DELETE member
snapshots                                GET reader POST member
snapshots/detail                         GET reader
snapshots/<str:id>                       GET reader PUT member DELETE member
snapshots/<str:id>/metadata              GET reader PUT member POST member
snapshots/<str:id>/metadata/<str:key>    GET reader PUT member DELETE member
attachments                              GET reader POST member
attachments/detail                       GET reader
attachments/<str:id>                     GET reader PUT member DELETE member
attachments/<str:id>/action              POST member
types                                    GET any POST box
types/<str:id>                           GET any PUT box DELETE box
types/<str:id>/extra_specs               GET look POST box
types/<str:id>/extra_specs/<str:key>     GET look PUT box DELETE box
types/<str:id>/os-volume-type-access     GET look
qos-specs                                GET look POST box
qos-specs/<str:id>                       GET look
qos-specs/<str:id>/associations          GET look
os-volume-transfer                       GET reader POST member
os-volume-transfer/detail                GET reader
os-volume-transfer/<str:id>              GET reader DELETE member
os-volume-transfer/<str:id>/accept       POST member
volume-transfers                         GET reader POST member
volume-transfers/detail                  GET reader
volume-transfers/<str:id>                GET reader DELETE member
volume-transfers/<str:id>/accept         POST member
backups                                  GET reader POST member
backups/detail                           GET reader
backups/<str:id>                         GET reader PUT member DELETE member
backups/<str:id>/restore                 POST member
backups/<str:id>/action                  POST member
os-quota-sets/<str:id>                   GET reader PUT box DELETE box
os-quota-sets/<str:id>/defaults          GET any
os-availability-zone                     GET any
os-services                              GET look
os-hosts                                 GET look
os-hosts/<str:id>                        GET look
scheduler-stats/get_pools                GET look
limits                                   GET any
extensions                               GET any
resource_filters                         GET any
messages                                 GET reader
messages/<str:id>                        GET reader
os-volume-manage                         POST look
os-snapshot-manage                       POST look
"""
PLACEMENT = """
resource_providers                                GET look
resource_providers/<str:id>                       GET look
resource_providers/<str:id>/inventories           GET look
resource_providers/<str:id>/inventories/<str:name>  GET look
resource_providers/<str:id>/usages                GET look
resource_providers/<str:id>/aggregates            GET look
resource_providers/<str:id>/traits                GET look
resource_providers/<str:id>/allocations           GET look
resource_classes                                  GET look
resource_classes/<str:name>                       GET look
traits                                            GET look
traits/<str:name>                                 GET look
allocations/<str:consumer>                        GET look
allocation_candidates                             GET look
usages                                            GET reader
"""
OPEN = """
compute  compute/  compute/v2.1  compute/v2.1/  ^compute/.*$
network  network/  network/v2.0  network/v2.0/  ^network/.*$
image  image/  image/versions  image/v2  image/v2/  ^image/.*$
volume  volume/  volume/v3  volume/v3/  ^volume/.*$
placement  placement/  ^placement/.*$
"""
# Cinder's stand below the project's id; without it, as newer clients write them, they are the same views.
CINDER_AT, CINDER_BARE = "volume/v3/<project:project>/", "volume/v3/"
TABLES = {"compute/v2.1/": NOVA, "network/v2.0/": NEUTRON, "image/v2/": GLANCE, CINDER_AT: CINDER, "placement/": PLACEMENT}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# As an administrator asks for what the small cloud does not have.
MISSING = {
    "servers/<str:id>/os-volume_attachments/<str:volume>",
    "flavors/<str:id>/os-flavor-access",
    "routers/<str:id>/remove_router_interface",
    "types/<str:id>/os-volume-type-access",
    "types/<str:id>/extra_specs/<str:key>",
    "qos-specs/<str:id>",
    "qos-specs/<str:id>/associations",
    "messages/<str:id>",
    "images/<str:id>/members/<str:project>",
    "backups/<str:id>",
    "backups/<str:id>/restore",
    "backups/<str:id>/action",
    "volume-transfers/<str:id>/accept",
    "os-volume-transfer/<str:id>/accept",
}
# And what it is told that the box does not do.
REFUSED = {
    *(("POST", CINDER_AT + route) for route in ("qos-specs", "os-volume-manage", "os-snapshot-manage")),
}


def _table() -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {route: {"GET": "open"} for route in OPEN.split()}
    for prefix, table in TABLES.items():
        for line in table.strip().splitlines():
            route, *words = line.split()
            rows[prefix + route] = dict(zip(words[::2], words[1::2], strict=True))
    return rows


ROUTES = _table()
PREFIXES = ("compute", "^compute", "network", "^network", "image", "^image", "volume", "^volume", "placement", "^placement")
PARTS = re.compile(r"<\w+:\w+>")


def test_every_route_is_in_the_table() -> None:
    routes = http_routes()
    bare = {route.replace(CINDER_AT, CINDER_BARE): routes[route] for route in ROUTES if route.startswith(CINDER_AT)}
    assert {route: routes[route] for route in bare} == bare
    assert {route for route in routes if route.startswith(PREFIXES)} - set(bare) == set(ROUTES)


# Of images that are the project's, not the catalogue's.
OURS = tuple(f"image/v2/images/<str:id>/{word}" for word in ("file", "stage", "import", "members", "tags"))


class Probe:
    """Addresses and bodies that would be right, of things of the shop."""

    def __init__(self, world: World) -> None:
        ctx = world.ctx("owner")
        server = world.running(name="probe")
        self.begun = image_uploads.begin(ctx, name="begun", tags=["probe"])
        self.member = world.users["member"]
        self.volume = volumes.create(ctx, name="probe", size_gib=1)
        work()
        group = security_groups.create(ctx, name="probe")
        rule = security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=22)
        port = server.ports.all()[0]
        event = Event.objects.filter(subject_id=server.id, verb="launch").get()
        Event.objects.filter(id=event.id).update(request_id="req-probe")
        type(server).objects.filter(id=server.id).update(metadata={"probe": "1"}, tags={"probe": ""})
        spare = volumes.create(ctx, name="spare", size_gib=1, metadata={"probe": "1"})
        offered = volumes.create(ctx, name="offered", size_gib=1)
        hung = volumes.create(ctx, name="hung", size_gib=1)
        work()
        snapshot = snapshots.create(ctx, volume_id=self.volume.id, name="probe", metadata={"probe": "1"})
        volumes.attach(ctx, hung.id, instance_id=server.id)
        work()
        transfer, _ = volume_transfers.offer(ctx, offered.id)
        kind = volume_types.create(world.ctx("admin"), name="unused", sort=900)
        self.cinder = {
            "v3": world.project.id.hex, "volumes": spare.id, "snapshots": snapshot.id, "types": kind.id, "qos-specs": kind.id,
            "os-volume-transfer": transfer.id, "volume-transfers": transfer.id, "attachments": hung.id, "messages": spare.id,
            "backups": spare.id, "extra_specs": "total_iops_sec", "metadata": "probe", "os-quota-sets": world.project.id.hex,
            "os-hosts": f"{settings.BOX_NAME or 'box'}@qcow2",
        }  # fmt: skip
        self.ids = {
            "servers": server.id, "flavors": world.flavor.id, "images": world.image.id, "os-security-groups": group.id,
            "os-security-group-rules": rule.id, "os-quota-sets": world.project.id.hex, "os-simple-tenant-usage": world.project.id.hex,
            "os-server-groups": server_groups.create(ctx, name="probe", policy="affinity").id, "os-keypairs": "probe",
            "os-instance-actions": "req-probe", "ips": "private", "metadata": "probe", "tags": "probe", "os-hypervisors": "1",
            "os-interface": port.id, "os-volume_attachments": self.volume.id,
        }  # fmt: skip
        host = health.hosts(world.ctx("admin"))[0]
        self.ids |= {
            "resource_providers": hosts.id_of(host.name), "inventories": "VCPU", "resource_classes": "VCPU", "traits": "COMPUTE_NODE",
            "allocations": server.id,
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
            "schemas": "image", "members": world.other.id.hex,
        }  # fmt: skip
        launch: dict[str, Any] = {"name": "n", "imageRef": str(world.image.id), "flavorRef": str(world.flavor.id)}
        launch["networks"] = [{"uuid": str(world.network.id)}]
        pairs: dict[str, Any] = {"PUT metadata": {"metadata": {"a": "b"}}, "POST metadata": {"metadata": {"a": "b"}}}
        limits: dict[str, Any] = {"total_iops_sec": "500"}
        self.cinder_bodies: dict[str, Any] = pairs | {
            "POST volumes": {"volume": {"size": 1, "name": "n", "metadata": {"a": "b"}, "volume_type": None, "imageRef": None}},
            "PUT volumes/": {"volume": {"name": "n", "description": "d"}}, "POST action": {"os-set_bootable": {"bootable": True}},
            "PUT metadata/": {"meta": {"probe": "b"}}, "POST snapshots": {"snapshot": {"volume_id": str(self.volume.id), "name": "n"}},
            "PUT snapshots/": {"snapshot": {"name": "n"}},
            "POST attachments": {"attachment": {"volume_uuid": str(self.volume.id), "instance_uuid": str(server.id)}},
            "PUT attachments/": {"attachment": {"connector": {}}},
            "POST types": {"volume_type": {"name": "n", "extra_specs": limits}}, "PUT types/": {"volume_type": {"name": "n"}},
            "POST extra_specs": {"extra_specs": limits}, "PUT extra_specs/": limits,
            "POST os-volume-transfer": {"transfer": {"volume_id": str(self.volume.id), "name": "n"}},
            "POST volume-transfers": {"transfer": {"volume_id": str(self.volume.id), "name": "n"}},
            "POST attachments/action": {"os-complete": {}}, "POST accept": {"accept": {"auth_key": "k"}},
            "POST backups": {"backup": {"volume_id": str(self.volume.id), "name": "n"}},
            "PUT backups/": {"backup": {"name": "n"}}, "POST restore": {"restore": {"name": "n"}},
            "PUT os-quota-sets/": {"quota_set": {"volumes": 9, "gigabytes": -1}},
        }  # fmt: skip
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
            "PUT file": b"x" * 1024, "PUT stage": b"x" * 1024, "POST import": {"method": {"name": "glance-direct"}},
            "POST members": {"member": world.other.id.hex}, "PUT members/": {"status": "accepted"},
            "PATCH images/": [{"op": "replace", "path": "/name", "value": "n"}],
        }  # fmt: skip

    def path(self, route: str, bad: str = "") -> str:
        ids = self.ids | self.cinder if route.startswith(CINDER_AT) else self.ids
        parts: list[str] = []
        for part in route.split("/"):
            hole = part.startswith("<")
            if hole and parts[-1] == "images" and route.startswith(OURS):
                parts.append(bad or str(self.begun.id))
                continue
            parts.append((bad if bad and "project" not in part else str(ids[parts[-1]])) if hole else part)
        return "/" + "/".join(parts)

    def body(self, method: str, route: str) -> Any:
        """The right one for this address: by its last word, or by the one before its id."""
        *_, before, last = ["", *PARTS.sub("", route).split("/")]
        bodies = self.cinder_bodies if route.startswith(CINDER_AT) else self.bodies
        noun = PARTS.sub("", route.removeprefix(CINDER_AT)).split("/")[0]
        if last and f"{method} {noun}/{last}" in bodies:
            return bodies[f"{method} {noun}/{last}"]
        return bodies.get(f"{method} {before}/" if last == "" else f"{method} {last}")

    def ask(self, cloud: Cloud, who: str, method: str, route: str, bad: str = "") -> Any:
        headers = {"type": "application/openstack-images-v2.1-json-patch"} if method == "PATCH" else {}
        if route.endswith(("/file", "/stage")):
            headers = {"type": "application/octet-stream"}
        if "servers/<str:id>/tags" in route or "remote-consoles" in route:
            headers = {"OpenStack-API-Version": "compute 2.26"}
        if route.startswith(CINDER_AT):
            headers = {"OpenStack-API-Version": "volume 3.70"}
        path = self.path(route, bad)
        if route.startswith("placement/"):
            headers = {"OpenStack-API-Version": "placement 1.39"}
            path += {"usages": f"?project_id={self.ids['os-quota-sets']}", "allocation_candidates": "?resources=VCPU:1"}.get(
                route.removeprefix("placement/"), ""
            )
        return cloud.call(who, method, path, self.body(method, route), **headers)


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
        if route.startswith(CINDER_AT):
            return status == 400  # The address itself is another project's.
        if least in ("look", "box"):
            return status == 403
        if route == "placement/usages":
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
        if (method, route) == ("POST", CINDER_AT + "backups"):
            return status == 400  # There is no vault for it.
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
            elif "<str" in route:
                for bad in ("x", "a-b", "9" * 400, "%F0%9F%98%80", "%00", "%ff", "..%2f"):
                    with transaction.atomic():
                        answer = probe.ask(cloud, "admin", method, route, bad)
                        transaction.set_rollback(True)
                    if (
                        answer.status_code not in (400, 404, 409)
                        and not route.endswith(("/defaults", "/default"))
                        and "/tags/" not in route
                        and not route.startswith("placement/allocations/")
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
PLACEMENT_QUERIES = "resources resources1 required member_of in_tree name uuid limit project_id user_id consumer_type associated".split()
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
            body = probe.body(method, route)
            texts: list[Any] = [json.dumps(bent) for bent in _bent(body)] if body is not None else []
            for text in [*texts, b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}']:
                with transaction.atomic():
                    at = {"OpenStack-API-Version": "compute 2.26, volume 3.70"}
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
        words = (
            PLACEMENT_QUERIES
            if route.startswith("placement/")
            else QUERIES
            if route.endswith(("detail", "images", "flavors"))
            else QUERIES[:4]
        )
        for word in words:
            for value in ("-1", "(", "%00", "9" * 50, "%F0%9F%98%80:b:c", "x" * 5000):
                with transaction.atomic():
                    answer = cloud.call(
                        "admin", "GET", f"{probe.path(route)}?{word}={value}", **{"OpenStack-API-Version": "placement 1.39"}
                    )
                    transaction.set_rollback(True)
                if not _is_ours(answer):
                    wrong.append(f"GET {route}?{word}={value[:40]}: {answer.status_code} {answer.content[:200]!r}")
    assert not wrong, "\n" + "\n".join(wrong[:40])
