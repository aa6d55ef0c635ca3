"""Cinder's dialect over fakes: lives of volumes and snapshots, attachments, types, transfers, microversions, errors, pages."""

from __future__ import annotations

from typing import Any

from compute.models import Volume
from tests.openstack.conftest import Cloud
from tests.world import work


def make(cloud: Cloud, **more: Any) -> str:
    made = cloud.cinder("POST", "volumes", {"volume": {"size": 1, "name": "data"} | more})["volume"]
    work()
    return str(made["id"])


def act(cloud: Cloud, id: str, body: Any, status: str, *, at: str = "3.0") -> dict[str, Any]:
    cloud.cinder("POST", f"volumes/{id}/action", body, at=at)
    work()
    shown: dict[str, Any] = cloud.cinder("GET", f"volumes/{id}")["volume"]
    assert shown["status"] == status
    return shown


def test_the_life_of_a_volume(cloud: Cloud) -> None:
    """Created, shown, grown, attached, detached, deleted: each state in Cinder's words, each answer with its status."""
    url = f"/volume/v3/{cloud.world.project.id.hex}/volumes"
    answer = cloud.call("member", "POST", url, {"volume": {"size": 1, "name": "data", "metadata": {"a": "b"}}})
    assert (answer.status_code, answer["OpenStack-API-Version"]) == (202, "volume 3.0")
    made = answer.json()["volume"]
    assert (made["status"], made["size"], made["bootable"], made["metadata"]) == ("creating", 1, "false", {"a": "b"})
    work()
    id = made["id"]
    assert cloud.cinder("GET", f"volumes/{id}")["volume"]["status"] == "available"
    assert act(cloud, id, {"os-extend": {"new_size": 2}}, "available")["size"] == 2
    server = cloud.world.running(name="web")
    attached = act(cloud, id, {"os-attach": {"instance_uuid": str(server.id), "mountpoint": "/dev/vdc"}}, "in-use")["attachments"]
    assert [(row["server_id"], row["volume_id"], row["device"]) for row in attached] == [(str(server.id), id, "/dev/vdb")]
    assert cloud.refused("POST", f"volumes/{id}/action", {"os-extend": {"new_size": 3}}) == 400
    assert act(cloud, id, {"os-extend": {"new_size": 3}}, "in-use", at="3.42")["size"] == 3
    assert cloud.refused("DELETE", f"volumes/{id}") == 400
    assert act(cloud, id, {"os-detach": {}}, "available")["attachments"] == []
    assert cloud.call("member", "DELETE", f"{url}/{id}").status_code == 202
    work()
    assert cloud.refused("GET", f"volumes/{id}") == 404


def test_what_a_volume_begins_as(cloud: Cloud) -> None:
    """An image, a volume, a snapshot; smaller than that is refused, and what is not there is told apart from what is wrong."""
    system = make(cloud, size=6, imageRef=str(cloud.world.image.id))
    shown = cloud.cinder("GET", f"volumes/{system}")["volume"]
    assert (shown["bootable"], shown["volume_image_metadata"]["image_name"]) == ("true", "Debian")
    taken = cloud.cinder("POST", "snapshots", {"snapshot": {"volume_id": system, "name": "s"}})["snapshot"]
    work()
    copy = cloud.cinder("GET", f"volumes/{make(cloud, size=None, snapshot_id=taken['id'])}")["volume"]
    assert (copy["size"], copy["snapshot_id"], copy["bootable"]) == (6, taken["id"], "true")
    assert cloud.cinder("GET", f"volumes/{make(cloud, size=7, source_volid=system)}")["volume"]["source_volid"] == system
    nothing = "0b1e5d2c-0000-4000-8000-000000000000"
    for wrong, status in (
        ({"size": 1, "snapshot_id": taken["id"]}, 400),
        ({"size": 1, "source_volid": nothing}, 404),
        ({"size": 1, "snapshot_id": nothing}, 404),
        ({"size": 1, "volume_type": "none"}, 404),
        ({"size": 1, "imageRef": nothing}, 400),
        ({"size": 0}, 400),
        ({"size": -1}, 400),
        ({"size": "x"}, 400),
        ({}, 400),
        ({"size": 1, "multiattach": True}, 501),
        ({"size": 1, "availability_zone": "elsewhere"}, 400),
        ({"size": 4000}, 413),
    ):
        assert cloud.refused("POST", "volumes", {"volume": wrong}) == status, wrong
    assert cloud.refused("DELETE", f"volumes/{system}") == 400
    cloud.cinder("DELETE", f"volumes/{system}?cascade=true")
    work()
    assert cloud.cinder("GET", f"snapshots?volume_id={system}")["snapshots"] == []


def test_names_and_metadata(cloud: Cloud) -> None:
    """Two may be called the same, one without a name gets one; pairs are replaced, merged, changed and deleted one by one."""
    first, second = make(cloud), make(cloud)
    assert {row["id"] for row in cloud.cinder("GET", "volumes?name=data")["volumes"]} == {first, second}
    assert cloud.cinder("GET", f"volumes/{make(cloud, name=None)}")["volume"]["name"].startswith("volume-")
    path = f"volumes/{first}/metadata"
    assert cloud.cinder("PUT", path, {"metadata": {"a": "1"}})["metadata"] == {"a": "1"}
    assert cloud.cinder("POST", path, {"metadata": {"b": "2"}})["metadata"] == {"a": "1", "b": "2"}
    assert cloud.cinder("PUT", f"{path}/b", {"meta": {"b": "3"}})["meta"] == {"b": "3"}
    cloud.cinder("DELETE", f"{path}/a")
    assert cloud.cinder("GET", path)["metadata"] == {"b": "3"}
    assert cloud.refused("GET", f"{path}/a") == 404
    assert [row["id"] for row in cloud.cinder("GET", "volumes/detail?metadata=%7B%27b%27%3A+%273%27%7D")["volumes"]] == [first]
    assert cloud.cinder("PUT", f"volumes/{first}", {"volume": {"name": "other", "description": "d"}})["volume"]["name"] == "other"
    summary = cloud.cinder("GET", "volumes/summary", at="3.36")["volume-summary"]
    assert summary == {"total_size": 3, "total_count": 3, "metadata": {"b": ["3"]}}


def test_said_by_hand(cloud: Cloud) -> None:
    """Bootable or not, and read-only from the next time on that it is attached."""
    id = make(cloud)
    assert act(cloud, id, {"os-set_bootable": {"bootable": True}}, "available")["bootable"] == "true"
    assert [row["id"] for row in cloud.cinder("GET", "volumes?bootable=true")["volumes"]] == [id]
    assert act(cloud, id, {"os-set_bootable": {"bootable": "false"}}, "available")["bootable"] == "false"
    assert act(cloud, id, {"os-update_readonly_flag": {"readonly": True}}, "available")["metadata"] == {"readonly": "True"}
    server = cloud.world.running(name="web")
    act(cloud, id, {"os-attach": {"instance_uuid": str(server.id)}}, "in-use")
    assert Volume.objects.get(id=id).is_read_only
    assert cloud.cinder("GET", f"attachments/{id}", at="3.27")["attachment"]["attach_mode"] == "ro"
    for name in ("os-reserve", "os-reset_status", "os-migrate_volume"):
        assert cloud.refused("POST", f"volumes/{id}/action", {name: {}}) == 501
    system = make(cloud, size=6, imageRef=str(cloud.world.image.id))
    act(cloud, system, {"os-set_bootable": {"bootable": False}}, "available")
    boot = {"uuid": system, "source_type": "volume", "destination_type": "volume", "boot_index": 0}
    body = {"server": {"name": "b", "flavorRef": str(cloud.world.flavor.id), "block_device_mapping_v2": [boot]}}
    assert cloud.call("member", "POST", "/compute/v2.1/servers", body).status_code == 409


def test_attachments(cloud: Cloud) -> None:
    """Under the volume's id; making one attaches, deleting one detaches. They began with 3.27."""
    id, server = make(cloud), cloud.world.running(name="web")
    assert cloud.refused("GET", "attachments") == 404
    body = {"attachment": {"volume_uuid": id, "instance_uuid": str(server.id), "connector": None}}
    assert cloud.cinder("POST", "attachments", body, at="3.27")["attachment"]["status"] == "attaching"
    work()
    cloud.cinder("POST", f"attachments/{id}/action", {"os-complete": {}}, at="3.44")
    rows = cloud.cinder("GET", f"attachments/detail?instance_id={server.id}", at="3.27")["attachments"]
    assert [(row["volume_id"], row["instance"], row["status"]) for row in rows] == [(id, str(server.id), "attached")]
    cloud.cinder("DELETE", f"attachments/{id}", at="3.27")
    work()
    assert cloud.refused("GET", f"attachments/{id}", at="3.27") == 404
    assert cloud.cinder("GET", f"volumes/{id}")["volume"]["status"] == "available"


def test_types_and_their_limits(cloud: Cloud) -> None:
    """A type's extra specs are its limits, and only those; one that volumes have is neither changed nor deleted."""
    specs = {"total_iops_sec": "500", "total_bytes_sec": str(50 * 2**20)}
    body = {"volume_type": {"name": "slow", "extra_specs": specs}}
    assert cloud.refused("POST", "types", body) == 403
    kind = cloud.cinder("POST", "types", body, who="admin")["volume_type"]
    assert kind["extra_specs"] == specs
    assert "extra_specs" not in cloud.cinder("GET", f"types/{kind['id']}")["volume_type"]
    assert cloud.cinder("GET", f"qos-specs/{kind['id']}", who="admin")["qos_specs"]["specs"] == specs
    path = f"types/{kind['id']}/extra_specs"
    assert cloud.cinder("PUT", f"{path}/total_iops_sec", {"total_iops_sec": "600"}, who="admin") == {"total_iops_sec": "600"}
    assert cloud.refused("POST", path, {"extra_specs": {"replication_enabled": "<is> True"}}, who="admin") == 400
    cloud.cinder("DELETE", f"{path}/total_bytes_sec", who="admin")
    assert cloud.cinder("GET", path, who="admin")["extra_specs"] == {"total_iops_sec": "600"}
    id = make(cloud, volume_type="slow")
    assert cloud.cinder("GET", f"volumes/{id}", at="3.63")["volume"]["volume_type_id"] == kind["id"]
    assert cloud.refused("DELETE", f"types/{kind['id']}", who="admin") == 400
    default = cloud.cinder("GET", "types/default")["volume_type"]["name"]
    assert act(cloud, id, {"os-retype": {"new_type": default, "migration_policy": "never"}}, "available")["volume_type"] == default
    cloud.cinder("DELETE", f"types/{kind['id']}", who="admin")
    assert cloud.refused("GET", f"types/{kind['id']}") == 404


def test_transfers(cloud: Cloud) -> None:
    """The key opens the offer once, for another project."""
    id = make(cloud)
    made = cloud.cinder("POST", "volume-transfers", {"transfer": {"volume_id": id, "name": "gift"}}, at="3.55")["transfer"]
    assert cloud.cinder("GET", f"volumes/{id}")["volume"]["status"] == "awaiting-transfer"
    assert [row["name"] for row in cloud.cinder("GET", "os-volume-transfer")["transfers"]] == ["gift"]
    url = f"/volume/v3/{cloud.world.other.id.hex}/os-volume-transfer/{made['id']}/accept"
    assert cloud.call("stranger", "POST", url, {"accept": {"auth_key": "wrong"}}).status_code == 404
    answer = cloud.call("stranger", "POST", url, {"accept": {"auth_key": made["auth_key"]}})
    assert (answer.status_code, answer.json()["transfer"]["volume_id"]) == (202, id)
    assert cloud.refused("GET", f"volumes/{id}") == 404
    again = make(cloud)
    made = cloud.cinder("POST", "os-volume-transfer", {"transfer": {"volume_id": again}})["transfer"]
    cloud.cinder("DELETE", f"os-volume-transfer/{made['id']}")
    assert cloud.cinder("GET", f"volumes/{again}")["volume"]["status"] == "available"


def test_snapshots_and_going_back(cloud: Cloud) -> None:
    """Of a volume in use only when it is meant; going back to one is a volume's action since 3.40."""
    id, server = make(cloud), cloud.world.running(name="web")
    act(cloud, id, {"os-attach": {"instance_uuid": str(server.id)}}, "in-use")
    asked: dict[str, Any] = {"volume_id": id, "name": "s", "metadata": {"a": "b"}}
    assert cloud.refused("POST", "snapshots", {"snapshot": asked | {"force": False}}) == 400
    made = cloud.cinder("POST", "snapshots", {"snapshot": asked | {"force": True}})["snapshot"]
    assert made["status"] == "creating"
    work()
    shown = cloud.cinder("GET", f"snapshots/{made['id']}")["snapshot"]
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"], shown["metadata"]) == ("available", "100%", {"a": "b"})
    act(cloud, id, {"os-detach": {}}, "available")
    act(cloud, id, {"revert": {"snapshot_id": made["id"]}}, "available", at="3.40")
    assert cloud.refused("DELETE", f"volumes/{id}") == 400
    cloud.cinder("PUT", f"snapshots/{made['id']}", {"snapshot": {"name": "t"}})
    cloud.cinder("DELETE", f"snapshots/{made['id']}")
    work()
    assert cloud.refused("GET", f"snapshots/{made['id']}") == 404


def test_pages_counts_and_order(cloud: Cloud) -> None:
    ids = [make(cloud, name=name) for name in "abc"]
    page = cloud.cinder("GET", "volumes?limit=2&sort=name:asc&with_count=true", at="3.45")
    assert ([row["name"] for row in page["volumes"]], page["count"]) == (["a", "b"], 3)
    (link,) = page["volumes_links"]
    rest = cloud.ok("member", "GET", link["href"].split("testserver")[1])
    assert [row["id"] for row in rest["volumes"]] == ids[2:]
    assert cloud.cinder("GET", "volumes?limit=0")["volumes"] == []
    assert [row["name"] for row in cloud.cinder("GET", "volumes?sort_key=name&sort_dir=desc&offset=1")["volumes"]] == ["b", "a"]
    for wrong in ("limit=-1", "limit=x", "marker=x", "sort=nothing:asc", "sort=name:up", "metadata=(", "metadata=1"):
        assert cloud.refused("GET", f"volumes?{wrong}") == 400, wrong


def test_quotas_and_limits(cloud: Cloud) -> None:
    """Used, allowed and set by the box's administrator; -1 is no limit."""
    make(cloud)
    mine = f"os-quota-sets/{cloud.world.project.id.hex}"
    rows = cloud.cinder("GET", f"{mine}?usage=true")["quota_set"]
    assert (rows["volumes"]["in_use"], rows["gigabytes"]["in_use"], rows["backups"]["limit"]) == (1, 1, -1)
    assert cloud.refused("PUT", mine, {"quota_set": {"volumes": 1}}) == 403
    assert cloud.cinder("PUT", mine, {"quota_set": {"volumes": 1, "gigabytes": -1}}, who="admin")["quota_set"]["gigabytes"] == -1
    assert cloud.refused("POST", "volumes", {"volume": {"size": 1}}) == 413
    assert cloud.cinder("GET", "limits")["limits"]["absolute"]["totalVolumesUsed"] == 1
    cloud.cinder("DELETE", mine, who="admin")
    assert cloud.cinder("GET", mine)["quota_set"] == cloud.cinder("GET", f"{mine}/defaults")["quota_set"]


def test_hosts(cloud: Cloud) -> None:
    """For who may look at the box: what lies on it, of all and of each project, in texts."""
    volume = make(cloud)
    cloud.cinder("POST", "snapshots", {"snapshot": {"volume_id": volume, "name": "s"}})
    assert cloud.refused("GET", "os-hosts") == 403
    (host,) = cloud.cinder("GET", "os-hosts", who="admin")["hosts"]
    assert (host["service"], host["service-status"], host["service-state"]) == ("cinder-volume", "available", "enabled")
    found = cloud.cinder("GET", f"os-hosts/{host['host_name']}", who="admin")["host"]
    line = {"host": host["host_name"], "volume_count": "1", "total_volume_gb": "1", "snapshot_count": "1", "total_snapshot_gb": "1"}
    assert [row["resource"] for row in found] == [line | {"project": "(total)"}, line | {"project": cloud.world.project.id.hex}]
    assert cloud.refused("GET", "os-hosts/elsewhere", who="admin") == 404


def test_versions_and_whose_address_it_is(cloud: Cloud) -> None:
    """300 at the root; microversions to 3.70; another project's address is refused, and since 3.67 there need be none."""
    root = cloud.client.get("/volume/")
    (version,) = root.json()["versions"]
    assert (root.status_code, version["min_version"], version["version"]) == (300, "3.0", "3.70")
    assert cloud.client.get("/volume/v3/").json()["versions"][0]["id"] == "v3.0"
    assert cloud.refused("GET", "volumes", at="3.71") == 406
    other = f"/volume/v3/{cloud.world.other.id.hex}/volumes"
    assert cloud.call("member", "GET", other).status_code == 400
    assert cloud.call("member", "GET", "/volume/v3/volumes").status_code == 404
    assert cloud.ok("member", "GET", "/volume/v3/volumes", **{"OpenStack-API-Version": "volume 3.67"}) == {"volumes": []}


def test_messages_tell_of_what_went_wrong(cloud: Cloud) -> None:
    id = make(cloud)
    assert cloud.cinder("GET", "messages", at="3.3")["messages"] == []
    Volume.objects.filter(id=id).update(error="The guest holds on to the volume.")
    (row,) = cloud.cinder("GET", "messages", at="3.3")["messages"]
    assert (row["resource_uuid"], row["user_message"]) == (id, "The guest holds on to the volume.")
    assert cloud.cinder("GET", f"messages/{id}", at="3.3")["message"] == row


def test_backups_need_a_vault(cloud: Cloud) -> None:
    id = make(cloud)
    assert cloud.cinder("GET", "backups/detail")["backups"] == []
    assert cloud.refused("POST", "backups", {"backup": {"volume_id": id}}) == 400
    assert cloud.refused("POST", "backups", {"backup": {"volume_id": id, "container": "none"}}) == 400
