"""rclone, and restic behind it and by itself: sync with checks, versions, backups that are read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.conftest import BOTH, BY_TLS, Store, grow, program, seen

pytestmark = pytest.mark.slow


def configure(store: Store) -> None:
    store.more |= {
        "RCLONE_CONFIG_BOX_TYPE": "s3",
        "RCLONE_CONFIG_BOX_PROVIDER": "Other",
        "RCLONE_CONFIG_BOX_ENDPOINT": store.url,
        "RCLONE_CONFIG_BOX_ACCESS_KEY_ID": store.me.key,
        "RCLONE_CONFIG_BOX_SECRET_ACCESS_KEY": store.me.secret,
        "RCLONE_CONFIG_BOX_REGION": "us-east-1",
        "RCLONE_S3_CHUNK_SIZE": "5M",
        "RCLONE_S3_UPLOAD_CUTOFF": "5M",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }
    if store.authority:
        store.more["RCLONE_CA_CERT"] = str(store.authority)


@BOTH
def test_rclone(store: Store) -> None:
    configure(store)
    command = program("rclone", "rclone")

    def rclone(*words: str | Path, expect: int = 0) -> str:
        return store.run(command, *words, expect=expect)

    there, back = store.folder / "there", store.folder / "back"
    tree = grow(there)
    rclone("mkdir", "box:rclone-bucket")
    rclone("sync", there, "box:rclone-bucket/tree")
    assert store.digests("rclone-bucket", "tree/") == tree
    rclone("check", there, "box:rclone-bucket/tree")
    rclone("check", "--download", there, "box:rclone-bucket/tree")
    rclone("sync", "box:rclone-bucket/tree", back)
    assert seen(back) == tree
    assert {path.name: int(path.stat().st_mtime) for path in there.rglob("*") if path.is_file()} == {
        path.name: int(path.stat().st_mtime) for path in back.rglob("*") if path.is_file()
    }
    # What differs is found, and what was deleted is deleted there as well.
    (there / "empty").write_bytes(b"no more")
    (there / "one").unlink()
    rclone("check", there, "box:rclone-bucket/tree", expect=1)
    rclone("sync", there, "box:rclone-bucket/tree")
    assert store.digests("rclone-bucket", "tree/") == seen(there)

    rclone("mkdir", "box:rclone-other")
    rclone("copy", "box:rclone-bucket/tree", "box:rclone-other/copy")  # by the server; in parts where it is large
    rclone("check", "box:rclone-bucket/tree", "box:rclone-other/copy")
    assert store.digests("rclone-other", "copy/") == seen(there)
    rclone("moveto", "box:rclone-other/copy/UPPER/lower.TXT", "box:rclone-other/moved")
    assert rclone("cat", "--offset", "5", "--count", "10", "box:rclone-other/moved").encode("utf-8", "replace")
    listed = json.loads(rclone("lsjson", "-R", "--files-only", "box:rclone-bucket/tree"))
    assert {one["Path"]: one["Size"] for one in listed} == {name: (there / name).stat().st_size for name in seen(there)}
    for bucket in ("rclone-bucket", "rclone-other"):
        rclone("purge", f"box:{bucket}")
    assert rclone("lsd", "box:") == ""


def test_versions_by_rclone(store: Store) -> None:
    """A deleted file is in sight with --s3-versions, and comes back."""
    configure(store)
    command, bucket = program("rclone", "rclone"), store.bucket()
    store.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store.run(command, "rcat", f"box:{bucket}/note.txt", stdin=b"first")
    store.run(command, "rcat", f"box:{bucket}/note.txt", stdin=b"second")
    store.run(command, "deletefile", f"box:{bucket}/note.txt")
    assert store.run(command, "lsf", f"box:{bucket}") == ""
    old = store.run(command, "lsf", "--s3-versions", f"box:{bucket}").split()
    assert len(old) == 2
    assert {store.run(command, "cat", "--s3-versions", f"box:{bucket}/{name}") for name in old} == {"first", "second"}


def backup(store: Store, repository: str, *options: str) -> None:
    """A backup, another of what has changed, a check that reads all of it, both restored, one forgotten and its space given back."""
    command = program("restic", "restic")
    store.more |= {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": "a password", "RESTIC_CACHE_DIR": str(store.folder / "cache")}
    if store.authority:
        options = (*options, "--cacert", str(store.authority))

    def restic(*words: str | Path) -> str:
        return store.run(command, *options, *words)

    there = store.folder / "there"
    first = grow(there)
    restic("init")
    restic("backup", there)
    (there / "parts.bin").write_bytes(b"small now")
    (there / "new").write_bytes(bytes(1_000_000))
    second = seen(there)
    restic("backup", there)
    assert "no errors were found" in restic("check", "--read-data")
    snapshots = json.loads(restic("snapshots", "--json"))
    assert len(snapshots) == 2
    for number, (snapshot, expected) in enumerate(zip(snapshots, (first, second), strict=True)):
        target = store.folder / f"restored-{number}"
        restic("restore", snapshot["id"], "--target", target)
        assert seen(target / there.relative_to("/")) == expected
    restic("forget", "--keep-last", "1", "--prune")
    assert "no errors were found" in restic("check", "--read-data")


@BOTH
def test_restic(store: Store) -> None:
    store.more |= {"AWS_ACCESS_KEY_ID": store.me.key, "AWS_SECRET_ACCESS_KEY": store.me.secret}
    backup(store, f"s3:{store.url}/{store.bucket()}/backups")


@BY_TLS
def test_restic_behind_rclone(store: Store) -> None:
    configure(store)
    backup(store, f"rclone:box:{store.bucket()}/backups", "--option", f"rclone.program={program('rclone', 'rclone')}")
