"""Placement over fakes: the host as the one provider, servers as its consumers, in old and new microversions."""

from __future__ import annotations

from typing import Any

from compute import health
from tests.openstack.conftest import Cloud


def ask(cloud: Cloud, path: str, *, at: str = "1.39", who: str = "admin", status: int = 200) -> Any:
    answer = cloud.call(who, "GET", f"/placement/{path}", **{"OpenStack-API-Version": f"placement {at}"})
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content else None


def test_the_host_and_what_is_taken_of_it(cloud: Cloud) -> None:
    """Inventories are the host's, usages the sum of its servers', and Nova's hypervisor has the provider's id."""
    host = health.hosts(cloud.world.ctx("admin"))[0]
    server = cloud.world.running(name="web")
    (row,) = ask(cloud, "resource_providers")["resource_providers"]
    assert (row["name"], row["parent_provider_uuid"], row["root_provider_uuid"]) == (host.name, None, row["uuid"])
    assert {each["rel"] for each in row["links"]} == {"self", "inventories", "usages", "aggregates", "traits", "allocations"}
    hypervisors = cloud.nova("GET", "os-hypervisors", who="admin", at="2.53")["hypervisors"]
    assert [each["id"] for each in hypervisors] == [row["uuid"]]
    at = f"resource_providers/{row['uuid']}"
    totals = {name: each["total"] for name, each in ask(cloud, f"{at}/inventories")["inventories"].items()}
    assert totals == {"VCPU": host.vcpus, "MEMORY_MB": host.memory_mib, "DISK_GB": host.disk_gib}
    assert ask(cloud, f"{at}/inventories/VCPU")["max_unit"] == host.vcpus
    takes = {"VCPU": server.vcpus, "MEMORY_MB": server.memory_mib, "DISK_GB": server.disk_gib}
    assert ask(cloud, f"{at}/usages")["usages"] == takes
    assert ask(cloud, f"{at}/allocations")["allocations"] == {str(server.id): {"resources": takes, "consumer_generation": 1}}
    told = ask(cloud, f"allocations/{server.id}")
    assert (told["allocations"][row["uuid"]]["resources"], told["consumer_type"]) == (takes, "INSTANCE")
    assert told["project_id"] == cloud.world.project.id.hex
    assert ask(cloud, f"allocations/{row['uuid']}") == {"allocations": {}}
    before = ask(cloud, at)["generation"]
    assert before == ask(cloud, f"{at}/aggregates")["resource_provider_generation"]


def test_who_asks_for_what(cloud: Cloud) -> None:
    """A project asks for its own usage; the rest is for who looks after the box, and nobody writes."""
    server = cloud.world.running(name="web")
    project, other = cloud.world.project.id.hex, cloud.world.other.id.hex
    old = ask(cloud, f"usages?project_id={project}", who="reader", at="1.9")["usages"]
    assert old == {"VCPU": server.vcpus, "MEMORY_MB": server.memory_mib, "DISK_GB": server.disk_gib}
    assert ask(cloud, f"usages?project_id={project}", who="reader")["usages"]["INSTANCE"]["consumer_count"] == 1
    assert ask(cloud, f"usages?project_id={project}&consumer_type=all")["usages"]["all"]["VCPU"] == server.vcpus
    assert ask(cloud, f"usages?project_id={project}&consumer_type=OTHER")["usages"] == {}
    assert ask(cloud, f"usages?project_id={other}")["usages"] == {}
    ask(cloud, f"usages?project_id={other}", who="reader", status=403)
    ask(cloud, "usages", status=400)
    ask(cloud, "resource_providers", who="reader", status=403)
    assert cloud.call("admin", "PUT", f"/placement/allocations/{server.id}", {}).status_code == 405


def test_candidates(cloud: Cloud) -> None:
    """What fits is the host; what does not fit, or asks for traits that it has not, nothing. In each version's shape."""
    host = health.hosts(cloud.world.ctx("admin"))[0]
    found = ask(cloud, "allocation_candidates?resources=VCPU:1,MEMORY_MB:64&required=COMPUTE_NODE")
    ((provider, wanted),) = found["allocation_requests"][0]["allocations"].items()
    assert wanted == {"resources": {"VCPU": 1, "MEMORY_MB": 64}}
    assert found["allocation_requests"][0]["mappings"] == {"": [provider]}
    assert found["provider_summaries"][provider]["resources"]["VCPU"] == {"capacity": host.vcpus, "used": 0}
    old = ask(cloud, "allocation_candidates?resources=VCPU:1", at="1.10")
    assert old["allocation_requests"][0]["allocations"] == [{"resource_provider": {"uuid": provider}, "resources": {"VCPU": 1}}]
    for none in (f"resources=VCPU:{host.vcpus + 1}", f"resources=VCPU:{host.vcpus}&resources1=VCPU:1",
                 "resources=VCPU:1&required=!COMPUTE_NODE", "resources=VCPU:1&required=HW_GPU", "resources=VCPU:1&member_of=x",
                 "resources=VCPU:1&required=in:HW_GPU"):  # fmt: skip
        assert ask(cloud, f"allocation_candidates?{none}") == {"allocation_requests": [], "provider_summaries": {}}, none
        assert ask(cloud, f"resource_providers?{none}")["resource_providers"] == []
    for wrong in ("", "resources=VGPU:1", "resources=VCPU:0", "resources=VCPU", "resources=VCPU:x", "resources=VCPU:1&limit=0"):
        ask(cloud, f"allocation_candidates?{wrong}", status=400)


def test_words_and_versions(cloud: Cloud) -> None:
    assert ask(cloud, "")["versions"][0]["max_version"] == "1.39"
    assert {each["name"] for each in ask(cloud, "resource_classes")["resource_classes"]} == {"VCPU", "MEMORY_MB", "DISK_GB"}
    assert "COMPUTE_NODE" in ask(cloud, "traits?name=startswith:COMPUTE_&associated=true")["traits"]
    assert ask(cloud, "traits?name=in:COMPUTE_NODE,X")["traits"] == ["COMPUTE_NODE"]
    ask(cloud, "traits/COMPUTE_NODE", status=204)
    ask(cloud, "traits/HW_GPU", status=404)
    ask(cloud, "traits?name=x", status=400)
    ask(cloud, "traits", at="1.5", status=404)
    ask(cloud, "usages", at="1.40", status=406)
    answer = cloud.call("admin", "GET", "/placement/resource_providers/x")
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (404, "Not Found")
    (row,) = ask(cloud, "resource_providers", at="1.0")["resource_providers"]
    assert "root_provider_uuid" not in row
    catalogue = cloud.ok("admin", "GET", "/identity/v3/auth/catalog")["catalog"]
    assert [each["endpoints"][0]["url"] for each in catalogue if each["type"] == "placement"] == ["http://testserver/placement"]
