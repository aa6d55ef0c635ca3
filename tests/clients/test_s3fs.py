"""s3fs: a bucket as a folder, with what programs do to files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import BOTH, TIMEOUT_SECONDS, Store, fuse, grow, program, seen

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def mounted(store: Store, bucket: str) -> Iterator[Path]:
    """Without a cache on disk, so that what is read comes from the store."""
    fuse()
    command, unmount = program("s3fs", "s3fs"), program("fusermount", "fuse")
    folder, secret = store.folder / "mounted", store.folder / "passwd-s3fs"
    folder.mkdir(exist_ok=True)
    secret.write_text(f"{store.me.key}:{store.me.secret}\n")
    secret.chmod(0o600)
    options = f"passwd_file={secret},url={store.url},use_path_request_style,multipart_size=5,parallel_count=2,retries=1"
    if store.authority:
        options += ",no_check_certificate,ssl_verify_hostname=0"  # Built with GnuTLS it can be told of no authority but the host's.
    with (store.folder / "s3fs.log").open("wb") as log:
        process = subprocess.Popen([command, bucket, folder, "-f", "-o", options], env=store.environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + TIMEOUT_SECONDS
        while not os.path.ismount(folder):
            assert process.poll() is None, (store.folder / "s3fs.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield folder
    finally:
        subprocess.run([unmount, "-u", folder], check=process.poll() is None, timeout=TIMEOUT_SECONDS)
        process.wait(TIMEOUT_SECONDS)


@BOTH
def test_s3fs(store: Store) -> None:
    """Written, written over in the middle, appended, cut, renamed, linked, removed; seen alike by S3 and after mounting again."""
    bucket, local = store.bucket(), store.folder / "local"
    tree = grow(local)
    with mounted(store, bucket) as folder:
        shutil.copytree(local, folder / "tree")
        assert seen(folder / "tree") == tree
    assert {name: digest for name, digest in store.digests(bucket, "tree/").items() if name and not name.endswith("/")} == tree

    with mounted(store, bucket) as folder:
        assert seen(folder / "tree") == tree
        for place in (local, folder / "tree"):
            with (place / "parts.bin").open("r+b") as file:
                file.seek(7_000_000)
                file.write(b"changed in the middle")
            with (place / "just a part.bin").open("ab") as file:
                file.write(b"and more")
            with (place / "UPPER/lower.TXT").open("r+b") as file:
                file.truncate(3)  # By its path s3fs 1.90 would write three NULs, without having asked for the bytes.
            (place / "upper").rename(place / "renamed")
            (place / "one").unlink()
        (folder / "tree" / "link").symlink_to("empty")
        (folder / "tree" / "empty").chmod(0o640)
    with mounted(store, bucket) as folder:
        assert os.readlink(folder / "tree" / "link") == "empty"
        assert (folder / "tree" / "empty").stat().st_mode & 0o777 == 0o640
        (folder / "tree" / "link").unlink()
        assert seen(folder / "tree") == seen(local)
        shutil.rmtree(folder / "tree")
    assert store.digests(bucket) == {}
