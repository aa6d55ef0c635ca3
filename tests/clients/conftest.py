"""Programs as their users have them, unmodified, against the data plane of tests/storage, by plain HTTP and by TLS."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cloudbox.box import packages
from storage import certificates
from storage.server.tls import Following
from tests.storage.conftest import Cloud, Person, cloud

__all__ = ["cloud", "store"]

MIB = 1 << 20
PATH = "/usr/local/bin:/usr/bin:/bin"
TIMEOUT_SECONDS = 300
# What a file of a tree may be called, and how large it is: each has broken some client or server some day.
NAMES = {
    "empty": 0,
    "one": 1,
    "parts.bin": 20 * MIB + 3,
    "just a part.bin": 5 * MIB,
    "a folder/with spaces/plus+and&and=and%20and;and,and'quote.txt": 100,
    "ünï/cödé/日本語/🐈.txt": 200,
    "parentheses (1)~[2]{3}!$@.txt": 300,
    "deep/" + "er/" * 20 + "x": 10,
    ".hidden/.too": 10,
    "UPPER/lower.TXT": 20,
    "upper/lower.txt": 21,
    "name." + "n" * 200: 5,
}


@functools.cache
def _body(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


def grow(folder: Path) -> dict[str, str]:
    """Make the tree. Gives what `seen` says of it."""
    for name, size in NAMES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_body(name, size))
    return seen(folder)


def seen(folder: Path) -> dict[str, str]:
    """Name and digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@dataclass
class Store:
    """Where the store is, and how a program is run that only knows what its user told it."""

    cloud: Cloud
    url: str
    folder: Path
    authority: Path | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def me(self) -> Person:
        return self.cloud.me

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def secure(self) -> bool:
        return self.authority is not None

    def client(self, **config: Any) -> Any:
        """boto3, by plain HTTP, to look at what a program did."""
        return self.cloud.client(**config)

    def bucket(self, **more: Any) -> str:
        name = f"bucket-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name, **more)
        return name

    def digests(self, bucket: str, prefix: str = "") -> dict[str, str]:
        """What `seen` would say if the bucket were a folder."""
        s3, found = self.client(), {}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", ()):
                body = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
                found[one["Key"].removeprefix(prefix)] = hashlib.sha256(body).hexdigest()
        return found

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": PATH, "HOME": str(self.folder), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **self.more}

    def run(self, *argv: str | Path, expect: int = 0, stdin: bytes = b"") -> str:
        """Run a program to its end; gives what it printed."""

        done = subprocess.run(
            argv, input=stdin, capture_output=True, env=self.environment, cwd=self.folder, timeout=TIMEOUT_SECONDS, check=False
        )
        said = done.stdout.decode("utf-8", "replace")
        assert done.returncode == expect, f"{' '.join(map(str, argv))}\n{said}\n{done.stderr.decode('utf-8', 'replace')}"
        return said


def program(name: str, package: str) -> str:
    """Where the program is: `bin/cloudbox test` installs its package. Where the distribution has none, the test is skipped, saying so."""
    found = shutil.which(name, path=PATH)
    if found is None:
        assert package not in packages.wanted(packages.distribution(), tests=True), f"apt-get install {package}: bin/cloudbox test does so"
        pytest.skip(f"{package} is no package of {' '.join(packages.distribution())}")
    return found


def fuse() -> None:
    """Skip where nothing can be mounted: containers often have no such device, or may not open it."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"/dev/fuse cannot be opened here: {error.strerror}")


@pytest.fixture
def store(request: pytest.FixtureRequest, cloud: Cloud, tmp_path: Path) -> Iterator[Store]:
    """By plain HTTP, or with `indirect` parameter "https" by TLS, with a certificate of the box's own authority."""
    folder = tmp_path / "client"
    folder.mkdir()
    if getattr(request, "param", "http") == "http":
        yield Store(cloud, cloud.url, folder)
        return
    (tmp_path / "secrets").mkdir()
    certificates.renew(tmp_path, {})
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        cloud.run(cloud.front.listen(sock, Following(certificates.pair(tmp_path, {})).context))
        port = sock.getsockname()[1]
    yield Store(cloud, f"https://localhost:{port}", folder, certificates.authority(tmp_path).certificate)


BOTH = pytest.mark.parametrize("store", ["http", "https"], indirect=True)
BY_TLS = pytest.mark.parametrize("store", ["https"], indirect=True)
