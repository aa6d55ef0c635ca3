"""Swift's own client, openstacksdk and rclone, unmodified, against a data plane and its Keystone: all comes back as it was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
from django.core.cache import cache

from identity import credentials
from identity.context import Context
from tests.clients.conftest import program
from tests.fixtures import machine_home, plain_static
from tests.storage.conftest import Cloud

__all__ = ["machine_home", "plain_static"]

pytestmark = pytest.mark.slow
PASSWORD = "correct horse 17"
MIB = 1 << 20
SIZE = 5 * MIB + 12_345
SWIFT = str(Path(sys.executable).parent / "swift")
# Each of the three ways to sign in.
Way = Callable[["Site"], dict[str, str]]


@dataclass
class Site:
    cloud: Cloud
    url: str
    folder: Path

    @property
    def file(self) -> Path:
        """A file that needs several segments."""
        path = self.folder / "file.bin"
        if not path.exists():
            path.write_bytes(random.Random(7).randbytes(SIZE))
        return path

    def run(self, environment: dict[str, str], *argv: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"} | environment
        done = subprocess.run(argv, env=env, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (argv, done.stdout[-1000:], done.stderr[-2000:])
        return done.stdout


@pytest.fixture
def site(cloud: Cloud, live_server: Any, settings: Any, tmp_path: Path, machine_home: Path, plain_static: Any) -> Site:
    cache.clear()
    settings.STORE_PORT = cloud.port
    user = cloud.me.user
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    folder = tmp_path / "client"
    folder.mkdir()
    return Site(cloud, live_server.url, folder)


def by_password(site: Site) -> dict[str, str]:
    return {
        "OS_AUTH_URL": f"{site.url}/identity/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": site.cloud.me.user.email,
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": site.cloud.me.project.name,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
    }


def by_credential(site: Site) -> dict[str, str]:
    me = site.cloud.me
    row, text = credentials.create_token(Context(user=me.user, project=me.project, role=me.role), name="deploy", role="member")
    return {
        "OS_AUTH_URL": f"{site.url}/identity/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_ID": row.id.hex,
        "OS_APPLICATION_CREDENTIAL_SECRET": text.removeprefix(f"cbx_{row.id.hex}_"),
    }


def by_tempauth(site: Site) -> dict[str, str]:
    me = site.cloud.me
    return {"ST_AUTH": f"{site.url}/auth/v1.0", "ST_USER": f"{me.project.slug}:{me.user.email}", "ST_KEY": PASSWORD}


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("way", [by_password, by_credential, by_tempauth])
def test_swiftclient(site: Site, way: Way) -> None:
    """`swift` as people type it: a large file as a static and as a dynamic large object, metadata, listings, deletion."""
    signed_in = way(site)

    def swift(*words: str) -> str:
        return site.run(signed_in, SWIFT, *words)

    swift("post", "box", "-m", "Color:blue")
    assert "Meta Color: blue" in swift("stat", "box")
    whole = digest(site.file.read_bytes())
    for name, options in (("static", ["--use-slo"]), ("dynamic", ["--use-dlo"]), ("plain", [])):
        segmented = [*options, "--segment-size", str(MIB), "--segment-threads", "3"] if options else []
        swift("upload", "box", "file.bin", "--object-name", name, *segmented, "--header", "X-Object-Meta-Kind: ü")
        swift("download", "box", name, "--output", f"{name}.back")
        assert digest((site.folder / f"{name}.back").read_bytes()) == whole, name
        told = swift("stat", "box", name)
        assert f"Content Length: {SIZE}" in told
        assert "Meta Kind: ü" in told
    segments = swift("list", "box_segments").splitlines()
    assert len(segments) == 12  # Of both, six each.
    assert swift("list", "box").splitlines() == ["dynamic", "plain", "static"]
    swift("post", "box", "plain", "-m", "Kind:other")
    assert "Meta Kind: other" in swift("stat", "box", "plain")
    swift("copy", "box", "plain", "--destination", "/box/copy")
    swift("download", "box", "copy", "--output", "copy.back")
    assert digest((site.folder / "copy.back").read_bytes()) == whole
    # With its manifest the client deletes the segments.
    swift("delete", "box", "static")
    swift("delete", "box", "dynamic")
    assert swift("list", "box_segments") == ""
    swift("delete", "box")
    assert "box\n" not in swift("list")
    assert "Core: swift" in swift("capabilities")


def test_swiftclient_many_and_signed(site: Site) -> None:
    """A whole folder up and down, and an address that somebody without an account opens until it ends."""
    signed_in = by_password(site)
    tree = {"a.txt": b"a", "deep/er/ü 1.txt": b"u" * 1000, "empty": b"", "q?&=#%25.txt": b"q"}
    for name, body in tree.items():
        path = site.folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    site.run(signed_in, SWIFT, "upload", "box", "tree")
    assert set(site.run(signed_in, SWIFT, "list", "box").splitlines()) == {f"tree/{name}" for name in tree}
    assert "skip" not in site.run(signed_in, SWIFT, "download", "box", "--output-dir", "back")
    for name, body in tree.items():
        assert (site.folder / "back" / "tree" / name).read_bytes() == body
    site.run(signed_in, SWIFT, "post", "-m", "Temp-URL-Key:secret")
    account = f"/v1/AUTH_{site.cloud.me.project.id.hex}"
    signed = site.run(signed_in, SWIFT, "tempurl", "GET", "60", f"{account}/box/tree/a.txt", "secret").strip()
    with urllib.request.urlopen(f"{site.cloud.url}{signed}", timeout=30) as answer:
        assert answer.read() == b"a"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{site.cloud.url}{signed.replace('a.txt', 'empty')}", timeout=30)
    assert refused.value.code == 401
    site.run(signed_in, SWIFT, "delete", "box")
    assert site.run(signed_in, SWIFT, "list") == ""


@pytest.mark.parametrize("way", [by_password, by_credential])
def test_openstacksdk(site: Site, way: Way) -> None:
    """The cloud layer's uploads in segments, and the proxy's objects, metadata and signed addresses."""
    known = {name.removeprefix("OS_").lower(): value for name, value in way(site).items() if name.startswith("OS_")}
    auth_type = known.pop("auth_type", "v3password").removeprefix("v3")
    known.pop("identity_api_version")
    with openstack.connect(auth_type=f"v3{auth_type}", auth=known, region_name="us-east-1") as connection:
        store = connection.object_store
        body = site.file.read_bytes()
        connection.create_container("box")
        for name, use_slo in (("static", True), ("dynamic", False)):
            connection.create_object("box", name, filename=str(site.file), segment_size=MIB, use_slo=use_slo, metadata={"a": "1"})
            assert digest(store.download_object(name, "box")) == digest(body), name
            told = store.get_object_metadata(name, "box")
            assert told.content_length == SIZE
        assert told.metadata["a"] == "1"
        # The client knows what it has sent before, by checksums that it keeps as metadata.
        assert connection.is_object_stale("box", "static", str(site.file)) is False
        assert b"".join(store.stream_object("static", "box", chunk_size=MIB)) == body
        store.upload_object("box", "small", data=b"small")
        store.set_object_metadata("small", "box", color="blue")
        assert store.get_object_metadata("small", "box").metadata["color"] == "blue"
        assert {"dynamic", "small", "static"} == {row.name for row in store.objects("box") if "/" not in row.name}
        store.set_container_metadata("box", kind="test")
        assert store.get_container_metadata("box").metadata["kind"] == "test"
        if auth_type == "password":
            store.set_account_temp_url_key("secret")
            path = f"/v1/AUTH_{site.cloud.me.project.id.hex}/box/small"
            signed = store.generate_temp_url(path, 60, "GET")
            with urllib.request.urlopen(f"{site.cloud.url}{signed}", timeout=30) as answer:
                assert answer.read() == b"small"
        for name in ("static", "dynamic", "small"):
            connection.delete_object("box", name)
        # Of dynamic ones the client leaves the segments, which lie beside them.
        for row in store.objects("box"):
            assert row.name.startswith("dynamic/")
            store.delete_object(row)
        store.delete_container("box", ignore_missing=False)


def test_rclone(site: Site) -> None:
    """rclone's Swift: a large file in chunks, what it finds again, and what its check says of every byte."""
    rclone = program("rclone", "rclone")
    env = by_password(site)
    names = {"USER": "USERNAME", "KEY": "PASSWORD", "AUTH": "AUTH_URL", "DOMAIN": "USER_DOMAIN_NAME", "TENANT": "PROJECT_NAME"}
    config = {f"RCLONE_CONFIG_BOX_{name}": env[f"OS_{theirs}"] for name, theirs in names.items()}
    config |= {"RCLONE_CONFIG_BOX_TYPE": "swift", "RCLONE_CONFIG_BOX_AUTH_VERSION": "3", "RCLONE_CONFIG_BOX_CHUNK_SIZE": "2Mi"}
    config |= {"RCLONE_CONFIG_BOX_TENANT_DOMAIN": "Default", "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1"}
    (site.folder / "tree" / "dir").mkdir(parents=True)
    (site.folder / "tree" / "dir" / "ü.txt").write_bytes(b"u")
    (site.folder / "tree" / "large").write_bytes(site.file.read_bytes())
    site.run(config, rclone, "mkdir", "box:tree")
    site.run(config, rclone, "sync", "tree", "box:tree")
    listed = json.loads(site.run(config, rclone, "lsjson", "-R", "--files-only", "box:tree"))
    assert {row["Path"]: row["Size"] for row in listed} == {"dir/ü.txt": 1, "large": SIZE}
    site.run(config, rclone, "check", "--download", "tree", "box:tree")
    site.run(config, rclone, "sync", "box:tree", "back")
    assert digest((site.folder / "back" / "large").read_bytes()) == digest(site.file.read_bytes())
    site.run(config, rclone, "purge", "box:tree")
    assert json.loads(site.run(config, rclone, "lsjson", "-R", "--files-only", "box:")) == []  # No segment is left, either.
