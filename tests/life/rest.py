"""By the REST API, with nothing but HTTP; what is large goes straight to the store, as S3's clients send it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from tests.life.guest import PATIENCE
from tests.whole_box import WholeBox

Row = dict[str, Any]


class Rest:
    def __init__(self, box: WholeBox) -> None:
        self.box = box
        told = box.credentials("env")
        self.url = f"{told['CLOUDBOX_URL']}/projects/{told['CLOUDBOX_PROJECT']}"
        self.all = told["CLOUDBOX_URL"]
        self.token = told["CLOUDBOX_TOKEN"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        url = self.all + path if path.startswith("/") else f"{self.url}/{path}"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None and method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    def find(self, of: str, name: str) -> Row:
        found = [row for row in self.call("GET", f"{of}?limit=100")["items"] if row["name"] == name]
        assert len(found) == 1, f"{name} among {of}: {found}"
        return dict(found[0])

    def until(self, of: str, id: str, status: str) -> Row:
        deadline = time.monotonic() + PATIENCE
        while (row := self.call("GET", f"{of}/{id}"))["status"] != status:
            assert row["status"] != "error", row
            assert time.monotonic() < deadline, row
            time.sleep(0.5)
        return dict(row)

    def gone(self, of: str, name: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while any(row["name"] == name for row in self.call("GET", f"{of}?limit=100")["items"]):
            assert time.monotonic() < deadline, f"{name} is still among {of}"
            time.sleep(0.5)

    def usage(self) -> dict[str, int]:
        return {row["resource"]: row["used"] for row in self.call("GET", "quotas")["items"]}

    # --- the way

    def key(self, name: str, public: str) -> None:
        self.call("POST", "keypairs/import", {"name": name, "public_key": public})

    def group(self, name: str) -> None:
        row = self.call("POST", "security-groups", {"name": name})
        rule = {"direction": "ingress", "protocol": "tcp", "port_min": 22, "port_max": 22, "remote_cidr": "0.0.0.0/0"}
        self.call("POST", f"security-groups/{row['id']}/rules", rule)

    def network(self, name: str) -> None:
        self.call("POST", "networks", {"name": name})

    def image(self, name: str, vmdk: Path) -> None:
        self.call("POST", "buckets", {"name": f"{name}-bucket"})
        told = self.box.credentials("aws")
        client = boto3.client(
            "s3",
            endpoint_url=told["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
            region_name=told["AWS_DEFAULT_REGION"],
        )
        client.upload_file(str(vmdk), f"{name}-bucket", "tiny.vmdk")
        row = self.call("POST", "images", {"name": name, "bucket": f"{name}-bucket", "key": "tiny.vmdk"})
        self.until("images", row["id"], "ready")
        client.delete_object(Bucket=f"{name}-bucket", Key="tiny.vmdk")
        client.delete_bucket(Bucket=f"{name}-bucket")

    def launch(self, name: str, *, image: str, size: str, networks: Sequence[str], key: str, group: str) -> None:
        body = {
            "name": name,
            "image_id": self.find("images", image)["id"],
            "flavor_id": self.find("/flavors", size)["id"],
            "network_ids": [self.find("networks", each)["id"] for each in networks],
            "keypair_id": self.find("keypairs", key)["id"],
            "security_group_ids": [self.find("security-groups", group)["id"]],
        }
        (row,) = self.call("POST", "instances", body)["items"]
        self.until("instances", row["id"], "running")

    def _instance(self, name: str) -> str:
        return str(self.find("instances", name)["id"])

    def reach(self, name: str) -> str:
        card = self.call("GET", f"instances/{self._instance(name)}")["nics"][0]
        row = self.call("POST", "floating-ips", {"description": name})
        self.call("POST", f"floating-ips/{row['id']}/associate", {"port_id": card["id"]})
        return str(row["address"])

    def volume(self, name: str, gib: int) -> str:
        row = self.call("POST", "volumes", {"name": name, "size_gib": gib})
        return str(self.until("volumes", row["id"], "available")["serial"])

    def attach(self, volume: str, instance: str) -> None:
        row = self.find("volumes", volume)
        self.call("POST", f"volumes/{row['id']}/attach", {"instance_id": self._instance(instance)})
        self.until("volumes", row["id"], "attached")

    def detach(self, volume: str) -> None:
        row = self.find("volumes", volume)
        self.call("POST", f"volumes/{row['id']}/detach")
        self.until("volumes", row["id"], "available")

    def snapshot(self, volume: str, name: str) -> None:
        row = self.call("POST", "snapshots", {"name": name, "volume_id": self.find("volumes", volume)["id"]})
        self.until("snapshots", row["id"], "ready")

    def grow(self, volume: str, gib: int) -> None:
        row = self.find("volumes", volume)
        self.call("POST", f"volumes/{row['id']}/grow", {"size_gib": gib})
        assert self.until("volumes", row["id"], "attached")["size_gib"] == gib

    def backup(self, volume: str) -> None:
        self.call("POST", "buckets", {"name": f"{volume}-kept"})
        vault = self.call("POST", "backup-vaults", {"name": volume, "bucket": f"{volume}-kept", "encrypted": False})["vault"]
        (row,) = self.call("POST", "backups", {"vault_id": vault["id"], "volume_id": self.find("volumes", volume)["id"], "name": volume})[
            "items"
        ]
        self.until("backups", row["id"], "ready")

    def lose(self, volume: str) -> None:
        self.call("DELETE", f"volumes/{self.find('volumes', volume)['id']}?with_snapshots=true")
        self.gone("volumes", volume)

    def restore(self, volume: str, name: str) -> str:
        row = self.call("POST", f"backups/{self.find('backups', volume)['id']}/restore-volume", {"name": name})
        return str(self.until("volumes", row["id"], "available")["serial"])

    def _change(self, instance: str, verb: str, status: str, body: Row | None = None) -> None:
        id = self._instance(instance)
        self.call("POST", f"instances/{id}/{verb}", body or {})
        self.until("instances", id, status)

    def resize(self, instance: str, size: str) -> None:
        self._change(instance, "resize", "running", {"flavor_id": self.find("/flavors", size)["id"]})
        self._change(instance, "confirm-resize", "running")

    def rebuild(self, instance: str) -> None:
        self._change(instance, "rebuild", "running", {"keep": False})

    def rescue(self, instance: str) -> None:
        self._change(instance, "rescue", "running")

    def unrescue(self, instance: str) -> None:
        self._change(instance, "unrescue", "running")

    def shelve(self, instance: str) -> None:
        self._change(instance, "shelve", "shelved")

    def unshelve(self, instance: str) -> None:
        self._change(instance, "unshelve", "running")

    def console(self, instance: str) -> str:
        return str(self.call("GET", f"instances/{self._instance(instance)}/console-log")["text"])

    def clean(self, name: str) -> None:
        self.call("DELETE", f"instances/{self._instance(name)}")
        self.gone("instances", name)
        (floating,) = [row for row in self.call("GET", "floating-ips")["items"] if row["description"] == name]
        self.call("DELETE", f"floating-ips/{floating['id']}")
        self.lose(f"{name}-again")
        self.call("DELETE", f"backups/{self.find('backups', f'{name}-data')['id']}")
        self.gone("backups", f"{name}-data")
        self.call("DELETE", f"backup-vaults/{self.find('backup-vaults', f'{name}-data')['id']}")
        for of, what in (("images", f"{name}-image"), ("networks", f"second-{name}"), ("security-groups", name), ("keypairs", name)):
            self.call("DELETE", f"{of}/{self.find(of, what)['id']}")
        self.empty(f"{name}-data-kept")

    def empty(self, bucket: str) -> None:
        self.call("POST", f"buckets/{urllib.parse.quote(bucket)}/emptying", {})
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.call("DELETE", f"buckets/{bucket}")
                return
            except AssertionError:
                assert time.monotonic() < deadline
                time.sleep(0.5)


@contextmanager
def rest(box: WholeBox, folder: Path) -> Iterator[Rest]:
    yield Rest(box)
