"""Snippets of user data that every box brings: to be launched with as they are, or copied into a project and changed there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

# Names of this kind give every box the same ids.
_NAMESPACE = uuid.UUID("5c1b8f0e-6a55-4c1e-9d2f-2f6f0b7a9f10")


@dataclass(frozen=True, kw_only=True)
class ShippedSnippet:
    """As the rows of a project, so that pages and APIs read both alike."""

    key: str
    name: str
    description: str
    content: str
    project_id: None = None
    created_at: None = None
    changed_at: None = None
    id: uuid.UUID = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", uuid.uuid5(_NAMESPACE, self.key))

    def __str__(self) -> str:
        return self.name


SNIPPETS = (
    ShippedSnippet(
        key="docker-host",
        name="Docker host",
        description="Docker and Compose from Debian, started at boot, with logs that do not fill the disk",
        content="""#cloud-config
package_update: true
packages:
  - docker.io
  - docker-compose

write_files:
  # Each container keeps at most three files of 10 MB.
  - path: /etc/docker/daemon.json
    permissions: "0644"
    content: |
      {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}

runcmd:
  - systemctl enable docker
  - systemctl restart docker
  # Whoever may use Docker is as good as root: add accounts to the group docker with that in mind.
""",
    ),
    ShippedSnippet(
        key="web-server",
        name="Web server",
        description="nginx with a first page; open port 80 in a security group of the instance",
        content="""#cloud-config
package_update: true
packages:
  - nginx

write_files:
  - path: /var/www/html/index.html
    permissions: "0644"
    # After packages are there, so that the folder is, too.
    defer: true
    content: |
      <!doctype html>
      <title>It works</title>
      <p>nginx answers. Put your pages into /var/www/html.</p>

runcmd:
  - systemctl enable --now nginx
""",
    ),
    ShippedSnippet(
        key="users",
        name="Accounts",
        description="An account with sudo and a key of its own, no passwords by SSH, no SSH as root",
        content="""#cloud-config
users:
  # The image's own account, with the key that was chosen at the launch.
  - default
  - name: ada
    gecos: Ada Example
    shell: /bin/bash
    groups: [adm, sudo]
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    lock_passwd: true
    ssh_authorized_keys:
      # Put the line of your .pub file here.
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample ada@example.org

ssh_pwauth: false
disable_root: true
""",
    ),
    ShippedSnippet(
        key="swap",
        name="Swap file",
        description="A swap file of 1 GiB on the root disk, used late",
        content="""#cloud-config
swap:
  filename: /swapfile
  size: 1073741824

write_files:
  - path: /etc/sysctl.d/60-swap.conf
    permissions: "0644"
    content: |
      vm.swappiness = 10

runcmd:
  - sysctl --system
""",
    ),
    ShippedSnippet(
        key="mounts",
        name="Data disk",
        description="Formats the first attached volume if it is empty, and mounts it at /data",
        content="""#cloud-config
# A volume that is attached as the instance starts for the first time is its second disk. One with a file system on it keeps that.
fs_setup:
  - label: data
    filesystem: ext4
    device: /dev/vdb
    partition: none
    overwrite: false

mounts:
  # Without the disk, the instance starts all the same.
  - [LABEL=data, /data, ext4, "defaults,nofail", "0", "2"]
""",
    ),
    ShippedSnippet(
        key="unattended-upgrades",
        name="Automatic upgrades",
        description="Security updates every night, with a restart at 04:00 when one needs it",
        content="""#cloud-config
package_update: true
package_upgrade: true
packages:
  - unattended-upgrades

write_files:
  - path: /etc/apt/apt.conf.d/20auto-upgrades
    permissions: "0644"
    content: |
      APT::Periodic::Update-Package-Lists "1";
      APT::Periodic::Unattended-Upgrade "1";
  - path: /etc/apt/apt.conf.d/52restart
    permissions: "0644"
    content: |
      Unattended-Upgrade::Automatic-Reboot "true";
      Unattended-Upgrade::Automatic-Reboot-Time "04:00";

runcmd:
  - systemctl enable --now unattended-upgrades
""",
    ),
    ShippedSnippet(
        key="guest-agent",
        name="Guest agent",
        description="qemu-guest-agent, for consistent snapshots, passwords, and what the box shows of the guest",
        content="""#cloud-config
package_update: true
packages:
  - qemu-guest-agent

runcmd:
  - systemctl start qemu-guest-agent
""",
    ),
)
BY_ID = {each.id: each for each in SNIPPETS}
