"""By python-openstackclient, unmodified, with what `bin/cloudbox credentials --format clouds.yaml` prints.

OpenStack has no word for the place where a project's backups lie; that is made by REST before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.life.guest import PATIENCE
from tests.life.rest import Rest
from tests.whole_box import WholeBox


class OpenStack:
    def __init__(self, box: WholeBox, folder: Path) -> None:
        self.rest = Rest(box)
        self.folder = folder
        clouds = folder / "clouds.yaml"
        clouds.write_text(box("credentials", "--format", "clouds.yaml").stdout)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": "cloudbox"}

    def __call__(self, *words: str) -> str:
        program = str(Path(sys.executable).parent / "openstack")
        done = subprocess.run([program, *words], env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, f"openstack {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def ask(self, *words: str) -> Any:
        return json.loads(self(*words, "-f", "json"))

    def until(self, of: str, name: str, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while (row := self.ask(*of.split(), "show", name))["status"] != status:
            assert "error" not in row["status"].lower(), row
            assert time.monotonic() < deadline, row
            time.sleep(1)
        return dict(row)

    def _serial(self, row: dict[str, Any]) -> str:
        """As this box gives it: the beginning of the volume's id, without dashes."""
        return str(row["id"]).replace("-", "")[:20]

    def key(self, name: str, public: str) -> None:
        path = self.folder / f"{name}.pub"
        path.write_text(public)
        self("keypair", "create", "--public-key", str(path), name)

    def group(self, name: str) -> None:
        self("security", "group", "create", name)
        self("security", "group", "rule", "create", "--ingress", "--protocol", "tcp", "--dst-port", "22", name)

    def network(self, name: str) -> None:
        self("network", "create", name)
        self("subnet", "create", "--network", name, "--subnet-range", "10.77.0.0/24", "--gateway", "none", name)

    def image(self, name: str, vmdk: Path) -> None:
        self("image", "create", "--disk-format", "vmdk", "--container-format", "bare", "--file", str(vmdk), name)
        self.until("image", name, "active")

    def launch(self, name: str, *, image: str, size: str, networks: Sequence[str], key: str, group: str) -> None:
        cards = [word for each in networks for word in ("--network", each)]
        self("server", "create", "--image", image, "--flavor", size, *cards, "--key-name", key, "--security-group", group, "--wait", name)

    def reach(self, name: str) -> str:
        address = str(self.ask("floating", "ip", "create", "public")["floating_ip_address"])
        port = self.ask("port", "list", "--server", name, "--network", "private")[0]["ID"]
        self("floating", "ip", "set", "--port", port, address)
        return address

    def volume(self, name: str, gib: int) -> str:
        self("volume", "create", "--size", str(gib), name)
        return self._serial(self.until("volume", name, "available"))

    def attach(self, volume: str, instance: str) -> None:
        self("server", "add", "volume", instance, volume)
        self.until("volume", volume, "in-use")

    def detach(self, volume: str) -> None:
        (place,) = self.ask("volume", "show", volume)["attachments"]
        self("server", "remove", "volume", place["server_id"], volume)
        self.until("volume", volume, "available")

    def snapshot(self, volume: str, name: str) -> None:
        self("volume", "snapshot", "create", "--volume", volume, "--force", name)
        self.until("volume snapshot", name, "available")

    def grow(self, volume: str, gib: int) -> None:
        self("--os-volume-api-version", "3.42", "volume", "set", "--size", str(gib), volume)
        assert self.until("volume", volume, "in-use")["size"] == gib

    def backup(self, volume: str) -> None:
        self.rest.call("POST", "buckets", {"name": f"{volume}-kept"})
        self.rest.call("POST", "backup-vaults", {"name": volume, "bucket": f"{volume}-kept", "encrypted": False})
        self("volume", "backup", "create", "--force", "--container", volume, "--name", volume, volume)
        self.until("volume backup", volume, "available")

    def lose(self, volume: str) -> None:
        for row in self.ask("volume", "snapshot", "list", "--volume", volume):
            self("volume", "snapshot", "delete", row["ID"])
        self._gone("volume snapshot", "list", "--volume", volume)
        self("volume", "delete", volume)
        self._gone("volume", "list", "--name", volume)

    def _gone(self, of: str, *words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while rows := self.ask(*of.split(), *words):
            assert time.monotonic() < deadline, rows
            time.sleep(1)

    def restore(self, volume: str, name: str) -> str:
        self("volume", "backup", "restore", volume, name)
        return self._serial(self.until("volume", name, "available"))

    def resize(self, instance: str, size: str) -> None:
        self("server", "resize", "--flavor", size, "--wait", instance)
        self("server", "resize", "confirm", instance)
        self.until("server", instance, "ACTIVE")

    def rebuild(self, instance: str) -> None:
        self("server", "rebuild", "--wait", instance)

    def rescue(self, instance: str) -> None:
        self("server", "rescue", instance)
        self.until("server", instance, "RESCUE")

    def unrescue(self, instance: str) -> None:
        self("server", "unrescue", instance)
        self.until("server", instance, "ACTIVE")

    def shelve(self, instance: str) -> None:
        self("server", "shelve", "--offload", "--wait", instance)

    def unshelve(self, instance: str) -> None:
        self("server", "unshelve", "--wait", instance)

    def console(self, instance: str) -> str:
        return self("console", "log", "show", instance)

    def clean(self, name: str) -> None:
        address = next(row["Floating IP Address"] for row in self.ask("floating", "ip", "list") if row["Port"])
        self("server", "delete", "--wait", name)
        self("floating", "ip", "delete", address)
        self.lose(f"{name}-again")
        self("volume", "backup", "delete", f"{name}-data")
        self._gone("volume backup", "list", "--name", f"{name}-data")
        self("image", "delete", f"{name}-image")
        self("network", "delete", f"second-{name}")
        self("security", "group", "delete", name)
        self("keypair", "delete", name)
        self.rest.call("DELETE", f"backup-vaults/{self.rest.find('backup-vaults', f'{name}-data')['id']}")
        self.rest.empty(f"{name}-data-kept")


@contextmanager
def openstack_cli(box: WholeBox, folder: Path) -> Iterator[OpenStack]:
    yield OpenStack(box, folder)
