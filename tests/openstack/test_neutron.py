"""Neutron's dialect over fakes: networks and subnets, ports, routers, floating IPs, groups, lists."""

from __future__ import annotations

from typing import Any

from compute import desired
from tests.openstack.conftest import Cloud
from tests.world import work


def neutron(cloud: Cloud, method: str, path: str, body: Any = None, *, who: str = "member", status: int = 0) -> Any:
    answer = cloud.call(who, method, f"/network/v2.0/{path}", body)
    assert answer.status_code == status if status else answer.status_code < 300, (answer.status_code, answer.content)
    return answer.json() if answer.content else None


def wired(cloud: Cloud) -> tuple[str, str, str]:
    """A network with a subnet on a router that leads out: their ids."""
    network = neutron(cloud, "POST", "networks", {"network": {"name": "net"}}, status=201)["network"]
    assert (network["subnets"], network["status"]) == ([], "ACTIVE")
    body = {"network_id": network["id"], "ip_version": 4, "cidr": "10.77.0.0/28", "name": "sub"}
    subnet = neutron(cloud, "POST", "subnets", {"subnet": body}, status=201)["subnet"]
    outer = neutron(cloud, "GET", "networks?router:external=True")["networks"][0]["id"]
    body = {"name": "r", "external_gateway_info": {"network_id": outer}}
    router = neutron(cloud, "POST", "routers", {"router": body}, status=201)["router"]
    added = neutron(cloud, "PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    assert added["network_id"] == network["id"]
    return network["id"], subnet["id"], router["id"]


def test_networks_and_routers(cloud: Cloud) -> None:
    network, subnet, router = wired(cloud)
    shown = neutron(cloud, "GET", f"subnets/{subnet}")["subnet"]
    assert (shown["cidr"], shown["gateway_ip"], shown["enable_dhcp"]) == ("10.77.0.0/28", "10.77.0.1", True)
    assert neutron(cloud, "GET", f"networks/{network}")["network"]["subnets"] == [subnet]
    interface = neutron(cloud, "GET", f"ports?device_id={router}")["ports"][0]
    assert (interface["device_owner"], interface["fixed_ips"][0]["ip_address"]) == ("network:router_interface", "10.77.0.1")
    assert neutron(cloud, "GET", f"ports/{interface['id']}")["port"] == interface
    neutron(cloud, "DELETE", f"networks/{network}", status=409)
    neutron(cloud, "DELETE", f"subnets/{subnet}", status=409)
    neutron(cloud, "DELETE", f"routers/{router}", status=409)
    neutron(cloud, "DELETE", f"ports/{interface['id']}", status=409)
    again = {"network_id": network, "ip_version": 4, "cidr": "10.78.0.0/24"}
    neutron(cloud, "POST", "subnets", {"subnet": again}, status=409)
    neutron(cloud, "PUT", f"routers/{router}", {"router": {"routes": [{"destination": "10.99.0.0/24", "nexthop": "10.77.0.9"}]}})
    neutron(cloud, "PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet}, status=409)
    neutron(cloud, "PUT", f"routers/{router}", {"router": {"routes": [], "name": "r2"}})
    neutron(cloud, "PUT", f"routers/{router}/remove_router_interface", {"port_id": interface["id"]})
    neutron(cloud, "PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet}, status=404)
    for path in (f"routers/{router}", f"subnets/{subnet}", f"networks/{network}"):
        neutron(cloud, "DELETE", path, status=204)
        neutron(cloud, "GET", path, status=404)


def test_ports_and_floating_ips(cloud: Cloud) -> None:
    network, subnet, router = wired(cloud)
    fixed = [{"subnet_id": subnet, "ip_address": "10.77.0.9"}]
    port = neutron(cloud, "POST", "ports", {"port": {"network_id": network, "name": "p", "fixed_ips": fixed}}, status=201)["port"]
    assert (port["fixed_ips"], port["status"], len(port["security_groups"])) == (fixed, "DOWN", 1)
    neutron(cloud, "POST", "ports", {"port": {"network_id": network, "fixed_ips": fixed}}, status=409)
    world = cloud.world
    body = {"name": "s", "imageRef": str(world.image.id), "flavorRef": str(world.flavor.id), "networks": [{"port": port["id"]}]}
    server = cloud.nova("POST", "servers", {"server": body})["server"]["id"]
    work()
    assert neutron(cloud, "GET", f"ports/{port['id']}")["port"]["device_id"] == server
    assert [row["id"] for row in neutron(cloud, "GET", f"ports?device_id={server}&fields=id")["ports"]] == [port["id"]]
    assert len(neutron(cloud, "GET", f"ports?fixed_ips=subnet_id={subnet}")["ports"]) == 2
    outer = neutron(cloud, "GET", "networks?router:external=True")["networks"][0]["id"]
    made = neutron(cloud, "POST", "floatingips", {"floatingip": {"floating_network_id": outer, "port_id": port["id"]}}, status=201)[
        "floatingip"
    ]
    assert (made["status"], made["fixed_ip_address"], made["router_id"]) == ("ACTIVE", "10.77.0.9", router)
    kinds = {row["OS-EXT-IPS:type"] for row in cloud.nova("GET", f"servers/{server}")["server"]["addresses"]["net"]}
    assert kinds == {"fixed", "floating"}
    assert neutron(cloud, "PUT", f"floatingips/{made['id']}", {"floatingip": {"port_id": None}})["floatingip"]["status"] == "DOWN"
    neutron(cloud, "POST", "floatingips", {"floatingip": {"floating_network_id": network}}, status=400)
    other = str(world.network.id)
    lost = neutron(cloud, "POST", "ports", {"port": {"network_id": other}})["port"]["id"]
    alone = neutron(cloud, "POST", "networks", {"network": {"name": "alone"}})["network"]["id"]
    neutron(cloud, "POST", "subnets", {"subnet": {"network_id": alone, "ip_version": 4, "cidr": "10.79.0.0/24"}})
    cut_off = neutron(cloud, "POST", "ports", {"port": {"network_id": alone}})["port"]["id"]
    neutron(cloud, "PUT", f"floatingips/{made['id']}", {"floatingip": {"port_id": cut_off}}, status=404)
    neutron(cloud, "DELETE", f"floatingips/{made['id']}", status=204)
    changed = {"name": "q", "allowed_address_pairs": [{"ip_address": "10.77.0.11"}], "security_groups": []}
    port = neutron(cloud, "PUT", f"ports/{port['id']}", {"port": changed})["port"]
    assert (port["name"], port["security_groups"], port["allowed_address_pairs"][0]["ip_address"]) == ("q", [], "10.77.0.11")
    assert neutron(cloud, "PUT", f"ports/{lost}", {"port": {"admin_state_up": False}})["port"]["admin_state_up"] is False
    neutron(cloud, "DELETE", f"ports/{lost}", status=204)


def test_switched_off(cloud: Cloud) -> None:
    """What admin_state_up says is what the fabric is told: a router that is down joins nothing and leads nowhere, of a port or a network
    that is down nothing is among what may pass."""
    network, _, router = wired(cloud)
    body = {"name": "s", "imageRef": str(cloud.world.image.id), "flavorRef": str(cloud.world.flavor.id), "networks": [{"uuid": network}]}
    server = cloud.nova("POST", "servers", {"server": body})["server"]["id"]
    work()
    port = neutron(cloud, "GET", f"ports?device_id={server}")["ports"][0]["id"]
    outer = neutron(cloud, "GET", "networks?router:external=True")["networks"][0]["id"]
    neutron(cloud, "POST", "floatingips", {"floatingip": {"floating_network_id": outer, "port_id": port}}, status=201)

    def told() -> tuple[bool, bool, bool, int]:
        spec = desired.fabric()
        way = next(each.router_id for each in spec.networks if str(each.id) == network)
        there = next((each for each in spec.routers if str(each.id) == router), None)
        passes = port in {str(each.id) for each in spec.ports}
        return way is not None, there is not None, passes, len(there.floating) if there else 0

    assert told() == (True, True, True, 1)
    for noun, path, when_down in (
        ("router", f"routers/{router}", (False, False, True, 0)),
        ("port", f"ports/{port}", (True, True, False, 1)),
        ("network", f"networks/{network}", (False, True, False, 0)),
    ):
        assert neutron(cloud, "PUT", path, {noun: {"admin_state_up": False}})[noun]["admin_state_up"] is False
        assert told() == when_down, noun
        assert neutron(cloud, "PUT", path, {noun: {"name": f"still-{noun}"}})[noun]["admin_state_up"] is False
        assert neutron(cloud, "PUT", path, {noun: {"admin_state_up": True}})[noun]["admin_state_up"] is True
        assert told() == (True, True, True, 1)
    made = neutron(cloud, "POST", "routers", {"router": {"name": "off", "admin_state_up": False}}, status=201)["router"]
    assert made["admin_state_up"] is False


def test_ipv6_subnets(cloud: Cloud) -> None:
    """A network takes one of each family. Either mode says both; addresses follow the mode; a server on IPv6 alone has no IPv4 address."""
    made = neutron(cloud, "POST", "networks", {"network": {"name": "six"}})["network"]["id"]

    def subnet(status: int = 201, **body: Any) -> Any:
        asked = {"network_id": made, "ip_version": 6, "cidr": "2003::/64", "gateway_ip": "2003::1"} | body
        return neutron(cloud, "POST", "subnets", {"subnet": asked}, status=status)

    for bad in ({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, {"ipv6_address_mode": "x"}, {"gateway_ip": "2003::2"},
                {"cidr": "2003::/48"}, {"cidr": "10.1.0.0/24"}, {"gateway_ip": "x"}):  # fmt: skip
        subnet(400, **bad)
    slaac = subnet(ipv6_address_mode="slaac", name="s")["subnet"]
    assert (slaac["ipv6_ra_mode"], slaac["name"], slaac["gateway_ip"]) == ("slaac", "s", "2003::1")
    assert neutron(cloud, "GET", f"networks/{made}")["network"]["subnets"] == [slaac["id"]]
    subnet(409, cidr="2003:1::/64", gateway_ip="2003:1::1")
    body = {"port": {"network_id": made, "mac_address": "52:54:00:12:34:56"}}
    port = neutron(cloud, "POST", "ports", body)["port"]
    assert port["fixed_ips"] == [{"subnet_id": slaac["id"], "ip_address": "2003::5054:ff:fe12:3456"}]
    body = {"port": {"network_id": made, "fixed_ips": [{"subnet_id": slaac["id"], "ip_address": "2003::99"}]}}
    neutron(cloud, "POST", "ports", body, status=400)
    neutron(cloud, "DELETE", f"subnets/{slaac['id']}", status=409)
    neutron(cloud, "DELETE", f"ports/{port['id']}")
    assert neutron(cloud, "PUT", f"subnets/{slaac['id']}", {"subnet": {"name": "t", "enable_dhcp": True}})["subnet"]["name"] == "t"
    neutron(cloud, "PUT", f"subnets/{slaac['id']}", {"subnet": {"dns_nameservers": ["2001:db8::1"]}}, status=501)
    neutron(cloud, "DELETE", f"subnets/{slaac['id']}", status=204)
    neutron(cloud, "GET", f"subnets/{slaac['id']}", status=404)

    given = subnet()["subnet"]
    assert given["ipv6_address_mode"] == "dhcpv6-stateful"
    asked = {"port": {"network_id": made, "fixed_ips": [{"subnet_id": given["id"], "ip_address": "2003::99"}]}}
    port = neutron(cloud, "POST", "ports", asked)["port"]
    assert [each["ip_address"] for each in port["fixed_ips"]] == ["2003::99"]
    answer = cloud.call("member", "POST", "/network/v2.0/ports", asked)
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (409, "IpAddressAlreadyAllocated")
    for wrong, status in (("2003:1::1", 400), ("2003::", 400), ("2003::1", 409), ("nonsense:", 400)):
        body = {"port": {"network_id": made, "fixed_ips": [{"subnet_id": given["id"], "ip_address": wrong}]}}
        neutron(cloud, "POST", "ports", body, status=status)
    body = {"name": "s", "imageRef": str(cloud.world.image.id), "flavorRef": str(cloud.world.flavor.id), "networks": [{"port": port["id"]}]}
    server = cloud.nova("POST", "servers", {"server": body})["server"]["id"]
    work()
    shown = cloud.nova("GET", f"servers/{server}")["server"]["addresses"]["six"]
    assert [(each["version"], each["addr"]) for each in shown] == [(6, "2003::99")]
    spec = desired.fabric()
    assert next(each.dhcp for each in spec.networks if str(each.id) == made) is False
    assert next(each.ip6 for each in spec.ports if str(each.id) == port["id"]) == ("2003::99",)
    router = neutron(cloud, "POST", "routers", {"router": {"name": "r6"}})["router"]["id"]
    joined = neutron(cloud, "PUT", f"routers/{router}/add_router_interface", {"subnet_id": given["id"]})
    assert joined["subnet_ids"] == [given["id"]]
    assert neutron(cloud, "GET", f"ports/{joined['port_id']}")["port"]["fixed_ips"][0]["ip_address"] == "2003::1"


def test_before_and_without(cloud: Cloud) -> None:
    """Ports wait on a network for its subnet, and no server has them before; a subnet without a gateway is never on a router."""
    network = neutron(cloud, "POST", "networks", {"network": {"name": "bare"}})["network"]["id"]
    port = neutron(cloud, "POST", "ports", {"port": {"network_id": network}}, status=201)["port"]
    assert port["fixed_ips"] == []
    neutron(cloud, "POST", "ports", {"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.20.0.3"}]}}, status=400)
    body = {"name": "s", "imageRef": str(cloud.world.image.id), "flavorRef": str(cloud.world.flavor.id)}
    for networks, status in (([{"port": port["id"]}], 409), ([{"uuid": network}], 400)):
        answer = cloud.call("member", "POST", "/compute/v2.1/servers", {"server": body | {"networks": networks}})
        assert answer.status_code == status, answer.content
    far = [{"destination": "10.99.0.0/24", "nexthop": "10.1.1.1"}]
    asked = {"network_id": network, "ip_version": 4, "cidr": "10.83.0.0/28", "gateway_ip": None, "host_routes": far}
    subnet = neutron(cloud, "POST", "subnets", {"subnet": asked}, status=201)["subnet"]
    assert (subnet["gateway_ip"], subnet["host_routes"]) == (None, far)
    assert neutron(cloud, "GET", f"ports/{port['id']}")["port"]["fixed_ips"][0]["ip_address"].startswith("10.83.0.")
    router = neutron(cloud, "POST", "routers", {"router": {"name": "r"}})["router"]["id"]
    neutron(cloud, "PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet["id"]}, status=400)
    neutron(cloud, "PUT", f"subnets/{subnet['id']}", {"subnet": {"gateway_ip": "10.83.0.1"}})
    neutron(cloud, "PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet["id"]})
    neutron(cloud, "PUT", f"subnets/{subnet['id']}", {"subnet": {"gateway_ip": None}}, status=409)
    # A static route to a range that the router is on is kept, and the range itself goes before it.
    routes = [{"destination": "10.83.0.0/28", "nexthop": "10.83.0.9"}]
    assert neutron(cloud, "PUT", f"routers/{router}", {"router": {"routes": routes}})["router"]["routes"] == routes
    assert next(each.routes for each in desired.fabric().routers if str(each.id) == router) == ()


def test_security_groups(cloud: Cloud) -> None:
    group = neutron(cloud, "POST", "security-groups", {"security_group": {"name": "g"}}, status=201)["security_group"]
    assert sorted(rule["ethertype"] for rule in group["security_group_rules"]) == ["IPv4", "IPv6"]
    body = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    rule = neutron(cloud, "POST", "security-group-rules", {"security_group_rule": body}, status=201)["security_group_rule"]
    neutron(cloud, "POST", "security-group-rules", {"security_group_rule": body}, status=409)
    for bad in ({"protocol": "nonsense"}, {"port_range_min": 80, "port_range_max": 79}, {"port_range_max": 65536}, {"ethertype": "IPvX"},
                {"direction": "sideways"}, {"remote_ip_prefix": "x/8"}):  # fmt: skip
        neutron(cloud, "POST", "security-group-rules", {"security_group_rule": body | bad}, status=400)
    assert len(neutron(cloud, "GET", f"security-group-rules?security_group_id={group['id']}")["security_group_rules"]) == 3
    for ports, words in (((-16, 80), "Invalid value for port -16"), ((80, 79), "port_range_min must be <= port_range_max"),
                         ((80, 65536), "Invalid value for port 65536"), ((None, 6), "port_range_min must be")):  # fmt: skip
        wrong = body | dict(zip(("port_range_min", "port_range_max"), ports, strict=True))
        assert (
            words in neutron(cloud, "POST", "security-group-rules", {"security_group_rule": wrong}, status=400)["NeutronError"]["message"]
        )
    for wrong in ({"protocol": "icmp", "port_range_min": 300}, {"protocol": "icmp", "port_range_max": 6, "port_range_min": None}):
        neutron(cloud, "POST", "security-group-rules", {"security_group_rule": body | wrong}, status=400)
    neutron(cloud, "POST", "security-group-rules", {"security_group_rule": body | {"remote_group_id": "bad-id"}}, status=404)
    plain = {"security_group_id": group["id"], "direction": "ingress", "protocol": 17}
    numbered = neutron(cloud, "POST", "security-group-rules", {"security_group_rule": plain}, status=201)["security_group_rule"]
    assert numbered["protocol"] == "17"
    neutron(cloud, "DELETE", f"security-group-rules/{numbered['id']}", status=204)
    neutron(cloud, "DELETE", f"security-group-rules/{rule['id']}", status=204)
    both = {"security_groups": [{"name": "one"}, {"name": ""}]}
    neutron(cloud, "POST", "security-groups", both, status=400)
    assert neutron(cloud, "GET", "security-groups?name=one")["security_groups"] == []
    default = neutron(cloud, "GET", "security-groups?name=default")["security_groups"][0]
    neutron(cloud, "DELETE", f"security-groups/{default['id']}", status=409)


def test_lists(cloud: Cloud) -> None:
    """Pages forwards and backwards, sorting, filters of every kind."""
    for name in ("a", "b", "c"):
        neutron(cloud, "POST", "networks", {"network": {"name": name}})
    query = "router:external=False&sort_key=name&sort_dir=desc"
    first = neutron(cloud, "GET", f"networks?{query}&limit=2")
    assert [row["name"] for row in first["networks"]] == ["private", "c"]
    following = first["networks_links"][0]["href"].split("/v2.0/")[1]
    second = neutron(cloud, "GET", following)
    assert [row["name"] for row in second["networks"]] == ["b", "a"]
    back = next(row["href"] for row in second["networks_links"] if row["rel"] == "previous").split("/v2.0/")[1]
    assert [row["name"] for row in neutron(cloud, "GET", back)["networks"]] == ["private", "c"]
    assert [row["name"] for row in neutron(cloud, "GET", "networks?name=a&name=b&fields=name&sort_key=name")["networks"]] == ["a", "b"]
    for wrong in ("limit=x", "marker=x", "sort_key=color", "sort_dir=up&sort_key=id"):
        neutron(cloud, "GET", f"networks?{wrong}", status=400)
    aliases = {row["alias"] for row in neutron(cloud, "GET", "extensions")["extensions"]}
    assert {"router", "security-group", "external-net"} <= aliases
    project = cloud.world.project.id.hex
    assert neutron(cloud, "GET", f"quotas/{project}")["quota"]["network"] == 5
    assert neutron(cloud, "PUT", f"quotas/{project}", {"quota": {"network": 4}}, who="admin")["quota"]["network"] == 4
    answer = cloud.call("member", "POST", "/network/v2.0/networks", {"network": {"name": "d"}})
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (409, "OverQuota")
    assert neutron(cloud, "GET", f"quotas/{project}/details.json")["quota"]["network"]["used"] == 4


def test_images(cloud: Cloud) -> None:
    """Glance: what there is, and its schemas; an empty id is not there; a patch needs its type."""
    image = str(cloud.world.image.id)
    rows = cloud.ok("member", "GET", "/image/v2/images?status=active&visibility=public")["images"]
    assert [(row["id"], row["status"], row["schema"]) for row in rows] == [(image, "active", "/v2/schemas/image")]
    assert cloud.ok("member", "GET", f"/image/v2/images/{image}")["min_disk"] == 0
    assert cloud.ok("member", "GET", "/image/v2/images?name=nothing")["images"] == []
    for path in ("images/", "images/x", "schemas/x"):
        assert cloud.call("member", "GET", f"/image/v2/{path}").status_code == 404
    patch = [{"op": "replace", "path": "/name", "value": "other"}]
    assert cloud.call("admin", "PATCH", f"/image/v2/images/{image}", patch).status_code == 415
    assert cloud.call("", "GET", "/image/").status_code == 300
    assert cloud.ok("member", "GET", "/image/v2/schemas/images")["name"] == "images"


def test_an_administrator_in_another_project(cloud: Cloud) -> None:
    """Who looks after the box makes, wires and removes things of a project by its id; a member's word for another's is not heard."""
    other = cloud.world.other.id.hex
    body = {"network": {"name": "theirs", "tenant_id": other}}
    neutron(cloud, "POST", "networks", body, status=404)
    network = neutron(cloud, "POST", "networks", body, who="admin", status=201)["network"]
    assert network["project_id"] == other
    theirs = {"network_id": network["id"], "ip_version": 4, "cidr": "10.81.0.0/28", "tenant_id": other}
    subnet = neutron(cloud, "POST", "subnets", {"subnet": theirs}, who="admin", status=201)["subnet"]["id"]
    router = neutron(cloud, "POST", "routers", {"router": {"name": "theirs", "tenant_id": other}}, who="admin")["router"]["id"]
    neutron(cloud, "PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet}, who="admin")
    assert [row["name"] for row in neutron(cloud, "GET", f"networks?id={network['id']}", who="stranger")["networks"]] == ["theirs"]
    neutron(cloud, "GET", f"networks/{network['id']}", status=404)
    neutron(cloud, "PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet}, who="admin")
    for path in (f"routers/{router}", f"subnets/{subnet}", f"networks/{network['id']}"):
        neutron(cloud, "DELETE", path, who="admin", status=204)
