"""Nova's dialect over fakes: the life of a server, microversions, errors, pages."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from typing import Any
from uuid import UUID

import pytest

from cloudbox.common import clock
from compute import host, metadata_tree
from compute.agent import metadata
from compute.models import Image, Instance, Port
from tests.openstack.conftest import Cloud
from tests.world import work


def asked(cloud: Cloud, **more: Any) -> dict[str, Any]:
    return {"server": {"name": "web", "imageRef": str(cloud.world.image.id), "flavorRef": str(cloud.world.flavor.id)} | more}


def make(cloud: Cloud, **more: Any) -> str:
    id = cloud.nova("POST", "servers", asked(cloud, **more))["server"]["id"]
    work()
    return str(id)


def test_the_life_of_a_server(cloud: Cloud) -> None:
    """Created, shown, stopped, resized, kept, rebuilt, deleted: each state in Nova's words, each answer with its status."""
    answer = cloud.call("member", "POST", "/compute/v2.1/servers", asked(cloud, metadata={"a": "b"}, security_groups=[{"name": "default"}]))
    assert answer.status_code == 202
    made = answer.json()["server"]
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert answer["Location"].endswith(f"/compute/v2.1/servers/{made['id']}")
    path = f"servers/{made['id']}"
    assert cloud.nova("GET", path)["server"]["status"] == "BUILD"
    work()
    shown = cloud.nova("GET", path)["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"], shown["metadata"]) == ("ACTIVE", None, {"a": "b"})
    assert shown["addresses"]["private"][0]["OS-EXT-IPS:type"] == "fixed"
    assert not any(key.startswith("OS-EXT-SRV-ATTR") for key in shown)
    assert cloud.nova("GET", path, who="admin")["server"]["OS-EXT-SRV-ATTR:host"]

    def act(body: Any, status: str) -> None:
        answer = cloud.call("member", "POST", f"/compute/v2.1/{path}/action", body)
        assert answer.status_code in (202, 204, 200), answer.content
        work()
        assert cloud.nova("GET", path)["server"]["status"] == status

    act({"os-stop": None}, "SHUTOFF")
    assert cloud.call("member", "POST", f"/compute/v2.1/{path}/action", {"os-stop": None}).status_code == 409
    act({"os-start": None}, "ACTIVE")
    act({"reboot": {"type": "HARD"}}, "ACTIVE")
    act({"pause": None}, "PAUSED")
    act({"unpause": None}, "ACTIVE")
    act({"suspend": None}, "SUSPENDED")
    act({"resume": None}, "ACTIVE")
    big = cloud.nova("POST", "flavors", {"flavor": {"name": "m1.more", "vcpus": 2, "ram": 1024, "disk": 6}}, who="admin")["flavor"]
    act({"resize": {"flavorRef": big["id"]}}, "VERIFY_RESIZE")
    assert [row["id"] for row in cloud.nova("GET", "servers?status=VERIFY_RESIZE")["servers"]] == [made["id"]]
    act({"confirmResize": None}, "ACTIVE")
    act({"rebuild": {"imageRef": str(cloud.world.image.id), "name": "other", "metadata": {"c": "d"}}}, "ACTIVE")
    shown = cloud.nova("GET", path)["server"]
    assert (shown["name"], shown["metadata"], shown["flavor"]["id"]) == ("other", {"c": "d"}, big["id"])
    act({"rescue": {}}, "RESCUE")
    act({"unrescue": None}, "ACTIVE")
    act({"shelve": None}, "SHELVED_OFFLOADED")
    act({"unshelve": None}, "ACTIVE")
    act({"lock": None}, "ACTIVE")
    assert cloud.call("member", "POST", f"/compute/v2.1/{path}/action", {"os-stop": None}).status_code == 409
    assert cloud.call("member", "DELETE", f"/compute/v2.1/{path}").status_code == 409
    act({"unlock": None}, "ACTIVE")
    names = {row["action"] for row in cloud.nova("GET", f"{path}/os-instance-actions")["instanceActions"]}
    assert {"create", "stop", "resize", "rebuild", "lock"} <= names
    assert cloud.call("member", "DELETE", f"/compute/v2.1/{path}").status_code == 204
    work()
    answer = cloud.call("member", "GET", f"/compute/v2.1/{path}")
    assert answer.status_code == 404
    assert set(answer.json()) == {"itemNotFound"}


def test_names_may_be_the_same(cloud: Cloud) -> None:
    """Two servers of one name, as Nova allows; the portal's own names stay unique among themselves."""
    first, second = make(cloud), make(cloud)
    assert first != second
    cloud.world.launch(name="web")
    assert len(cloud.nova("GET", "servers?name=^web$")["servers"]) == 3


def test_config_drives(cloud: Cloud) -> None:
    """Asked for in JSON or in words, it is there and shown; an image of Glance's that demands one gives it unasked; nonsense is refused."""
    for said in (True, "True", "1"):
        server = cloud.nova("GET", f"servers/{make(cloud, config_drive=said)}")["server"]
        assert server["config_drive"] == "True"
        assert host.volumes().config_drive_path(UUID(server["id"])).exists()
    for said in (False, "", None):
        assert cloud.nova("GET", f"servers/{make(cloud, config_drive=said)}")["server"]["config_drive"] == ""
    for wrong in ("maybe", 7, [], {}):
        assert cloud.call("member", "POST", "/compute/v2.1/servers", asked(cloud, config_drive=wrong)).status_code == 400
    images = "/image/v2/images"
    image = cloud.call("member", "POST", images, {"name": "d", "img_config_drive": "mandatory"}).json()
    assert image["img_config_drive"] == "mandatory"
    assert [row["id"] for row in cloud.call("member", "GET", f"{images}?img_config_drive=mandatory").json()["images"]] == [image["id"]]
    Image.objects.filter(id=image["id"]).update(status="ready", virtual_bytes=2**30)
    host.images().put(UUID(image["id"]), io.BytesIO(b"QFI\xfb..."))
    assert cloud.nova("GET", f"servers/{make(cloud, imageRef=image['id'])}")["server"]["config_drive"] == "True"
    assert cloud.call("member", "POST", images, {"name": "d", "img_config_drive": "perhaps"}).status_code == 400


def test_microversions(cloud: Cloud) -> None:
    """Headers old and new, the newest by name, none at all; beyond the range 406; keys come with their version."""
    path = f"servers/{make(cloud)}"
    oldest = cloud.call("member", "GET", f"/compute/v2.1/{path}")
    assert oldest["OpenStack-API-Version"] == "compute 2.1"
    assert "tags" not in oldest.json()["server"]
    by_old_header = cloud.call("member", "GET", f"/compute/v2.1/{path}", **{"X-OpenStack-Nova-API-Version": "2.26"})
    assert by_old_header["X-OpenStack-Nova-API-Version"] == "2.26"
    assert by_old_header.json()["server"]["tags"] == []
    newest = cloud.call("member", "GET", f"/compute/v2.1/{path}", **{"OpenStack-API-Version": "compute latest"})
    assert newest["OpenStack-API-Version"] == "compute 2.96"
    assert newest.json()["server"]["flavor"]["original_name"] == "m1.tiny"
    for asked, status in {"compute 2.999": 406, "compute 3.1": 406, "compute x": 400, "volume 3.60": 200}.items():
        assert cloud.call("member", "GET", f"/compute/v2.1/{path}", **{"OpenStack-API-Version": asked}).status_code == status, asked
    for gone in ("images", "os-security-groups"):
        assert cloud.call("member", "GET", f"/compute/v2.1/{gone}", **{"OpenStack-API-Version": "compute 2.36"}).status_code == 404
    assert cloud.call("", "GET", "/compute/v2.1/").status_code == 200
    assert [row["id"] for row in cloud.call("", "GET", "/compute/").json()["versions"]] == ["v2.0", "v2.1"]


def test_pages_and_filters(cloud: Cloud) -> None:
    """Newest first; `limit` and `marker` walk through; filters are patterns and ids; what is wrong is refused."""
    ids = [make(cloud, name=name) for name in ("a-1", "a-2", "b-1")]
    assert [row["id"] for row in cloud.nova("GET", "servers")["servers"]] == ids[::-1]
    page = cloud.nova("GET", "servers?limit=2")
    assert [row["id"] for row in page["servers"]] == [ids[2], ids[1]]
    following = page["servers_links"][0]["href"].split("/compute/v2.1/")[1]
    assert [row["id"] for row in cloud.nova("GET", following)["servers"]] == [ids[0]]
    assert [row["name"] for row in cloud.nova("GET", "servers?name=^a&sort_key=display_name&sort_dir=asc")["servers"]] == ["a-1", "a-2"]
    assert cloud.nova("GET", "servers?limit=0")["servers"] == []
    assert cloud.nova("GET", "servers?status=NONSENSE")["servers"] == []
    ip = cloud.nova("GET", f"servers/{ids[0]}/ips")["addresses"]["private"][0]["addr"]
    assert [row["id"] for row in cloud.nova("GET", f"servers?ip=^{ip}$")["servers"]] == [ids[0]]
    assert cloud.nova("GET", f"servers?flavor={cloud.world.image.id}")["servers"] == []
    cloud.call("member", "DELETE", f"/compute/v2.1/servers/{ids[0]}")
    work()
    assert ids[0] in [row["id"] for row in cloud.nova("GET", "servers/detail?changes-since=2020-01-01T00:00:00Z")["servers"]]
    assert cloud.nova("GET", "servers?changes-since=2051-01-01T12:34:00Z")["servers"] == []
    for wrong in ("limit=-1", "limit=x", "marker=x", "changes-since=2011/01/01", "name=(", "sort_key=color", "sort_dir=up&sort_key=id"):
        assert cloud.call("member", "GET", f"/compute/v2.1/servers?{wrong}").status_code == 400, wrong
    assert cloud.call("member", "GET", "/compute/v2.1/servers?all_tenants=1").status_code == 403
    assert len(cloud.nova("GET", "servers?all_tenants=1", who="admin")["servers"]) == 2


def test_what_cannot_be_launched(cloud: Cloud) -> None:
    """Each is refused as a bad request, by name; nothing is made."""
    unknown = "a8a59d42-2f35-4f8f-9b0c-7d9a3d0f7e11"
    changes: list[dict[str, Any]] = [
        {"name": ""}, {"name": "x" * 256}, {"name": 12345}, {"imageRef": "nonsense"}, {"imageRef": ""}, {"imageRef": unknown},
        {"flavorRef": -1}, {"flavorRef": unknown}, {"key_name": "nobody"}, {"networks": [{"uuid": "a-b-c"}]}, {"networks": [{}]},
        {"networks": [{"uuid": unknown}]}, {"metadata": {"": "x"}}, {"metadata": {"k" * 300: "x"}}, {"metadata": {"k": 1}},
        {"metadata": []},
        {"accessIPv4": "1.1.1.1.1"}, {"accessIPv6": "notaprefix"}, {"min_count": 0}, {"min_count": 3, "max_count": 2}, {"user_data": "!"},
        {"availability_zone": "elsewhere"}, {"security_groups": [{"name": "none"}]},
    ]  # fmt: skip
    for change in changes:
        answer = cloud.call("member", "POST", "/compute/v2.1/servers", asked(cloud, **change))
        assert (answer.status_code, set(answer.json())) == (400, {"badRequest"}), (change, answer.content)
    assert cloud.nova("GET", "servers")["servers"] == []


def test_metadata_and_tags(cloud: Cloud) -> None:
    path = f"servers/{make(cloud, metadata={'one': '1'})}"
    assert cloud.nova("POST", f"{path}/metadata", {"metadata": {"two": "2"}}) == {"metadata": {"one": "1", "two": "2"}}
    assert cloud.nova("PUT", f"{path}/metadata", {"metadata": {"three": "3"}}) == {"metadata": {"three": "3"}}
    assert cloud.nova("PUT", f"{path}/metadata/four", {"meta": {"four": "4"}}) == {"meta": {"four": "4"}}
    assert cloud.call("member", "PUT", f"/compute/v2.1/{path}/metadata/four", {"meta": {"five": "4"}}).status_code == 400
    assert cloud.nova("GET", f"{path}/metadata/four") == {"meta": {"four": "4"}}
    cloud.nova("DELETE", f"{path}/metadata/four")
    assert cloud.call("member", "GET", f"/compute/v2.1/{path}/metadata/four").status_code == 404
    assert cloud.call("member", "GET", f"/compute/v2.1/{path}/tags").status_code == 404
    at = {"OpenStack-API-Version": "compute 2.26"}
    assert cloud.call("member", "PUT", f"/compute/v2.1/{path}/tags/env:prod", **at).status_code == 201
    assert cloud.call("member", "PUT", f"/compute/v2.1/{path}/tags/env:prod", **at).status_code == 204
    assert cloud.nova("PUT", f"{path}/tags", {"tags": ["a", "b:c"]}, at="2.26") == {"tags": ["a", "b:c"]}
    assert len(cloud.nova("GET", "servers?tags=b:c", at="2.26")["servers"]) == 1
    assert cloud.nova("GET", "servers?not-tags=b:c", at="2.26")["servers"] == []
    assert cloud.call("member", "DELETE", f"/compute/v2.1/{path}/tags/a", **at).status_code == 204
    assert cloud.call("member", "GET", f"/compute/v2.1/{path}/tags/a", **at).status_code == 404
    assert cloud.call("member", "DELETE", f"/compute/v2.1/{path}/tags", **at).status_code == 204


def test_volumes_and_cards(cloud: Cloud) -> None:
    from compute import volumes

    id = make(cloud)
    path, volume = f"servers/{id}", volumes.create(cloud.world.ctx("member"), name="data", size_gib=1)
    work()
    made = cloud.nova("POST", f"{path}/os-volume_attachments", {"volumeAttachment": {"volumeId": str(volume.id)}})["volumeAttachment"]
    assert made["serverId"] == id
    work()
    assert [row["volumeId"] for row in cloud.nova("GET", f"{path}/os-volume_attachments")["volumeAttachments"]] == [str(volume.id)]
    shown = cloud.nova("GET", path, at="2.89")["server"]
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": str(volume.id), "delete_on_termination": False}]
    assert cloud.nova("GET", f"{path}/os-volume_attachments/{volume.id}", at="2.89")["volumeAttachment"]["attachment_id"]
    assert cloud.call("member", "DELETE", f"/compute/v2.1/{path}/os-volume_attachments/{volume.id}").status_code == 202
    work()
    card = cloud.nova("POST", f"{path}/os-interface", {"interfaceAttachment": {"net_id": str(cloud.world.network.id)}})[
        "interfaceAttachment"
    ]
    work()
    assert len(cloud.nova("GET", f"{path}/os-interface")["interfaceAttachments"]) == 2
    assert cloud.call("member", "DELETE", f"/compute/v2.1/{path}/os-interface/{card['port_id']}").status_code == 202
    work()
    assert len(cloud.nova("GET", f"{path}/os-interface")["interfaceAttachments"]) == 1


def test_boot_from_volume(cloud: Cloud) -> None:
    mapping = {"boot_index": 0, "uuid": str(cloud.world.image.id), "source_type": "image", "destination_type": "volume", "volume_size": 6}
    id = make(cloud, imageRef="", block_device_mapping_v2=[mapping])
    shown = cloud.nova("GET", f"servers/{id}")["server"]
    assert (shown["status"], shown["image"], len(shown["os-extended-volumes:volumes_attached"])) == ("ACTIVE", "", 1)


def test_keypairs_groups_limits(cloud: Cloud) -> None:
    made = cloud.nova("POST", "os-keypairs", {"keypair": {"name": "k"}})["keypair"]
    assert "PRIVATE KEY" in made["private_key"]
    again = {"keypair": {"name": "k2", "public_key": made["public_key"], "type": "ssh"}}
    assert cloud.call("member", "POST", "/compute/v2.1/os-keypairs", again, **{"OpenStack-API-Version": "compute 2.2"}).status_code == 201
    assert cloud.call("member", "POST", "/compute/v2.1/os-keypairs", again).status_code == 409
    assert {row["keypair"]["name"] for row in cloud.nova("GET", "os-keypairs")["keypairs"]} == {"k", "k2"}
    assert cloud.call("member", "DELETE", "/compute/v2.1/os-keypairs/k").status_code == 202
    group = cloud.nova("POST", "os-security-groups", {"security_group": {"name": "g", "description": "d"}})["security_group"]
    rule = {"security_group_rule": {"parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": 22}}
    assert cloud.nova("POST", "os-security-group-rules", rule)["security_group_rule"]["from_port"] == 22
    id = make(cloud, user_data=base64.b64encode(b"#!/bin/sh").decode())
    assert cloud.call("member", "POST", f"/compute/v2.1/servers/{id}/action", {"addSecurityGroup": {"name": "g"}}).status_code == 202
    assert {row["name"] for row in cloud.nova("GET", f"servers/{id}/os-security-groups")["security_groups"]} == {"default", "g"}
    assert cloud.call("member", "DELETE", f"/compute/v2.1/os-security-groups/{group['id']}").status_code == 400
    project = cloud.world.project.id.hex
    assert cloud.nova("GET", f"os-quota-sets/{project}")["quota_set"]["instances"] == 10
    changed = cloud.nova("PUT", f"os-quota-sets/{project}", {"quota_set": {"instances": 1}}, who="admin")
    assert changed["quota_set"]["instances"] == 1
    answer = cloud.call("member", "POST", "/compute/v2.1/servers", asked(cloud))
    assert (answer.status_code, "Quota exceeded" in answer.json()["forbidden"]["message"]) == (403, True)
    assert cloud.nova("GET", "limits")["limits"]["absolute"]["totalInstancesUsed"] == 1
    assert cloud.nova("GET", f"os-simple-tenant-usage/{project}")["tenant_usage"]["server_usages"]
    made = cloud.nova("POST", "os-server-groups", {"server_group": {"name": "sg", "policy": "affinity"}}, at="2.64")["server_group"]
    assert cloud.nova("GET", f"os-server-groups/{made['id']}")["server_group"]["policies"] == ["affinity"]
    assert cloud.nova("GET", "os-hypervisors/detail", who="admin")["hypervisors"][0]["state"] == "up"
    assert cloud.call("member", "GET", "/compute/v2.1/os-hypervisors").status_code == 403


def test_without_a_network(cloud: Cloud) -> None:
    """A server without a card: asked for by name, or since the project has no network."""
    id = cloud.nova("POST", "servers", asked(cloud, networks="none"), at="2.37")["server"]["id"]
    work()
    shown = cloud.nova("GET", f"servers/{id}")["server"]
    assert (shown["status"], shown["addresses"]) == ("ACTIVE", {})
    made = cloud.nova("POST", "servers", asked(cloud), who="stranger")["server"]["id"]
    work()
    assert cloud.nova("GET", f"servers/{made}", who="stranger")["server"]["status"] == "ACTIVE"
    default = cloud.nova("GET", "os-security-groups")["security_groups"][0]["id"]
    assert cloud.call("member", "DELETE", f"/compute/v2.1/os-security-groups/{default}").status_code == 400


def test_the_first_password(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is answered as adminPass is what the guest's first boot is told to set, for an hour; rebuild and rescue tell a new one."""
    world = cloud.world
    body = {"name": "s", "imageRef": str(world.image.id), "flavorRef": str(world.flavor.id), "adminPass": 'it\'s "x": #1'}
    made = cloud.nova("POST", "servers", {"server": body})["server"]
    work()
    port = Port.objects.get(instance_id=made["id"])

    def told(name: str) -> Any:
        instance = metadata.lookup(port.network_id, port.ip)
        assert instance is not None
        found = metadata_tree.find(instance, f"/openstack/latest/{name}")
        assert found is not None
        return json.loads(found.body)

    assert made["adminPass"] == 'it\'s "x": #1' == told("meta_data.json")["admin_pass"]
    config = told("vendor_data.json")["cloud-init"]
    assert config.startswith("#cloud-config\n")
    assert json.loads(config.split("- ", 1)[1]) == f"root:{made['adminPass']}"
    assert made["adminPass"] not in Instance.objects.get(id=made["id"]).first_password
    again = cloud.nova("POST", f"servers/{made['id']}/action", {"rebuild": {"imageRef": str(world.image.id)}})["server"]["adminPass"]
    assert again == told("meta_data.json")["admin_pass"]
    later = clock.now() + dt.timedelta(minutes=61)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert "admin_pass" not in told("meta_data.json")
    assert told("vendor_data.json") == {}
    body = {"name": "t", "imageRef": str(world.image.id), "flavorRef": str(world.flavor.id), "adminPass": "two\nlines"}
    assert cloud.call("member", "POST", "/compute/v2.1/servers", {"server": body}).status_code == 400


def test_security_groups_of_old(cloud: Cloud) -> None:
    """Nova's proxy keeps blanks around a name, and says 400 of a group that is in use."""
    made = cloud.nova("POST", "os-security-groups", {"security_group": {"name": " web ", "description": "d"}})["security_group"]
    assert made["name"] == " web "
    server = cloud.world.running(name="s")
    cloud.nova("POST", f"servers/{server.id}/action", {"addSecurityGroup": {"name": made["id"]}})
    assert cloud.call("member", "DELETE", f"/compute/v2.1/os-security-groups/{made['id']}").status_code == 400
    cloud.nova("POST", f"servers/{server.id}/action", {"removeSecurityGroup": {"name": made["id"]}})
    cloud.nova("DELETE", f"os-security-groups/{made['id']}")
