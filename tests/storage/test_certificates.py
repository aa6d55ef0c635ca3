"""Which certificate the object store shows, and that boto3, curl and a data plane's worker agree on it."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography import x509

from cloudbox.common.errors import Invalid
from storage import certificates, dataplane
from storage.server.tls import Following
from tests.storage.conftest import Cloud


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    return tmp_path


def names_in(certificate: Path) -> list[str]:
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_the_box_makes_its_own_once(home: Path) -> None:
    """For all its names, readable by who serves, while the authority's key is root's; renewed when the names change."""
    box: dict[str, Any] = {"name": "cbx-test", "hosts": ["*"], "url": "https://cloud.example.org"}
    group = grp.getgrnam("nogroup").gr_gid
    os.chown(home / "secrets", 0, group)
    assert certificates.renew(home, box)
    assert not certificates.renew(home, box)
    pair, authority = certificates.pair(home, box), certificates.authority(home)
    assert {"localhost", "127.0.0.1", "cloud.example.org", "s3.localhost", "*.s3.localhost", "*.s3-website.localhost"} <= set(
        names_in(pair.certificate)
    )
    assert pair.key.stat().st_mode & 0o777 == 0o640
    assert pair.key.stat().st_gid == group
    assert authority.key.stat().st_mode & 0o777 == 0o600
    assert authority.key.stat().st_uid == 0
    checked = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", authority.certificate, pair.certificate], check=False)
    assert checked.returncode == 0
    before = authority.certificate.read_bytes()
    assert certificates.renew(home, box | {"store_domains": ["objects.example.org"]})
    assert "*.objects.example.org" in names_in(pair.certificate)
    assert authority.certificate.read_bytes() == before
    assert certificates.trusted(home, box) == authority.certificate


def test_one_that_was_given_is_only_looked_at(home: Path, tmp_path: Path) -> None:
    certificates.renew(home, {"name": "a"})
    own = certificates.pair(home, {})
    box = {"store_tls_certificate": str(own.certificate), "store_tls_key": str(own.key)}
    assert certificates.pair(home, box) == own
    assert certificates.trusted(home, box) is None
    assert not certificates.renew(home, box)
    with pytest.raises(Invalid, match="go together"):
        certificates.pair(home, {"store_tls_key": "/x"})
    with pytest.raises(Invalid, match="no file /nowhere"):
        certificates.renew(home, {"store_tls_certificate": "/nowhere", "store_tls_key": "/nowhere"})
    assert dataplane.config_of(home, box | {"store_tls_port": 9443}).tls_port == 9443
    assert dataplane.config_of(home, {}).tls_port is None


def test_clients_by_tls(cloud: Cloud, home: Path) -> None:
    """boto3 with the authority's file round-trips small and large bodies on the port of TLS; without it, it refuses; so does curl."""
    certificates.renew(home, {})
    pair, authority = certificates.pair(home, {}), certificates.authority(home)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        port = sock.getsockname()[1]
        cloud.run(cloud.front.listen(sock, Following(pair).context))

    def client(host: str, verify: str | None, style: str = "path") -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"https://{host}:{port}",
            aws_access_key_id=cloud.me.key,
            aws_secret_access_key=cloud.me.secret,
            region_name="us-east-1",
            verify=verify,
            config=Config(s3={"addressing_style": style}, retries={"max_attempts": 0}),
        )

    s3 = client("localhost", str(authority.certificate))
    bucket = cloud.bucket(s3)
    for size in (0, 1, 100_000, 5_000_000):
        body = os.urandom(size)
        s3.put_object(Bucket=bucket, Key=f"{size}", Body=body)  # By TLS botocore sends it in chunks with a checksum behind them.
        assert s3.get_object(Bucket=bucket, Key=f"{size}", ChecksumMode="ENABLED")["Body"].read() == body
        assert cloud.client().get_object(Bucket=bucket, Key=f"{size}")["Body"].read() == body
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        client("localhost", None).list_buckets()

    curl = ["curl", "--silent", "--show-error", "--max-time", "20", "--cacert", str(authority.certificate)]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "100000"})
    got = subprocess.run([*curl, url], capture_output=True, check=True).stdout
    assert got == s3.get_object(Bucket=bucket, Key="100000")["Body"].read()
    # A bucket in the host's name is under the certificate's star.
    by_host = ["--resolve", f"{bucket}.s3.localhost:{port}:127.0.0.1", f"https://{bucket}.s3.localhost:{port}/1"]
    assert b"AccessDenied" in subprocess.run([*curl, *by_host], capture_output=True, check=True).stdout
    refused = subprocess.run(["curl", "--silent", "--max-time", "20", f"https://localhost:{port}/"], capture_output=True, check=False)
    assert refused.returncode == 60


def test_a_worker_listens_by_tls(home: Path, cloud: Cloud) -> None:
    """What the parent's sockets are used for: the same store behind both, and a new certificate within moments."""
    box = {"store_tls_port": 1, "store_workers": 1}
    certificates.renew(home, box)
    config = dataplane.config_of(home, box)
    for folder in (config.index, config.generations.parent, *config.drives):
        folder.mkdir(parents=True, exist_ok=True)

    async def listeners() -> list[tuple[bool, bool]]:
        http, https = socket.socket(), socket.socket()
        try:
            opened, close = await dataplane.open_worker(config, {"http": http, "https": https}, 1)
            found = [(each.sock is https, isinstance(each.tls, ssl.SSLContext)) for each in opened]
            assert opened[0].app is opened[1].app
            await close()
            await asyncio.sleep(0)
        finally:
            http.close()
            https.close()
        return found

    assert cloud.run(listeners()) == [(False, False), (True, True)]
