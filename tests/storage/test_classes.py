"""Storage classes as clients meet them: an erasure-coded bucket by S3, and what is said where drives are too few for one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from identity.context import Context
from storage import buckets, configurations, drive_list, expirations, kept_names, keys, outbox
from storage.drive_list import DriveList, Entry
from storage.engine import DriveSpec
from storage.offline import check, export
from storage.offline.names import OWN, parsed
from storage.offline.opening import Place, opened
from tests.storage.conftest import Cloud

MIB = 1 << 20


def six_more(cloud: Cloud, folder: Path) -> list[Path]:
    """Drives that everything new goes to; new buckets are erasure-coded."""
    drives = [folder / f"drive {n}" for n in range(6)]
    for drive in drives:
        drive.mkdir()
    store = cloud.plane.store
    cloud.run(
        store.configure([DriveSpec(bay.spec.path, draining=True) for bay in store.members.bays.values()] + [DriveSpec(d) for d in drives])
    )
    cloud.plane.storage_class = "erasure-4-2"
    return drives


def test_an_erasure_coded_bucket_by_s3(cloud: Cloud, tmp_path: Path) -> None:
    """Bodies, ranges, parts and copies come back as they went, also when the files of two drives are gone."""
    drives = six_more(cloud, tmp_path)
    s3 = cloud.client()
    bucket = cloud.bucket(s3)
    bodies = {f"o{size}": os.urandom(size) for size in (0, 5, MIB, MIB + 1, 6 * MIB + 5)}
    for name, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=name, Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    pieces = [os.urandom(5 * MIB), os.urandom(2 * MIB + 1)]
    tags = [
        s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=n, Body=piece)["ETag"] for n, piece in enumerate(pieces, 1)
    ]
    done = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=done)
    bodies["parts"] = b"".join(pieces)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": f"o{6 * MIB + 5}"})
    bodies["copy"] = bodies[f"o{6 * MIB + 5}"]
    found = [path for drive in drives for path in drive.glob("extents/*/*")]
    assert found
    assert {path.name[-2:] for path in found} == {f"-{n}" for n in range(6)}
    for lost in (0, 2):
        for name, body in bodies.items():
            assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == body, name
            if len(body) > MIB:
                part = s3.get_object(Bucket=bucket, Key=name, Range=f"bytes={MIB - 3}-{MIB}")["Body"].read()
                assert part == body[MIB - 3 : MIB + 1]
        for drive in drives[:2] if not lost else []:
            for path in drive.glob("extents/*/*"):
                path.unlink()


def test_a_class_needs_its_drives(cloud: Cloud, tmp_path: Path, settings: Any) -> None:
    """Said before the bucket is there, by the portal's offer and by S3, with the number."""
    settings.HOME, settings.STORE_PORT = tmp_path, 9000
    folder = tmp_path / "store"
    folder.mkdir(exist_ok=True)
    drive_list.write(folder / drive_list.NAME, DriveList(tuple(Entry(tmp_path / f"d{n}") for n in range(5)), 1))
    whys = {offer.name: offer.why for offer in configurations.class_offers(buckets.drive_count())}
    assert whys["replicated-3"] == ""
    assert whys["erasure-4-2"] == "This needs 6 drives, and the box has 5."
    drive_list.write(folder / drive_list.NAME, DriveList(tuple(Entry(tmp_path / f"d{n}") for n in range(2)), 1))
    with pytest.raises(ClientError, match="replicated-3 needs 3 drives, and the store has 2"):
        cloud.bucket()
    drive_list.write(folder / drive_list.NAME, DriveList(tuple(Entry(tmp_path / f"d{n}") for n in range(5)), 1))
    cloud.plane.storage_class = "erasure-4-2"
    try:
        cloud.bucket()
    except ClientError as error:
        said = error.response
    assert said["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "needs 6 drives, and the store has 5" in said["Error"]["Message"]
    drive_list.write(folder / drive_list.NAME, DriveList(tuple(Entry(tmp_path / f"d{n}") for n in range(6)), 2))
    assert buckets.get(Context(user=cloud.me.user, project=cloud.me.project, role="admin"), cloud.bucket()).storage_class == "erasure-4-2"


def test_the_offline_tool_reads_fragments_and_decrypts(cloud: Cloud, tmp_path: Path) -> None:
    """From the drives alone, two of which have lost their extents: plain and encrypted objects, whole and in parts, small and large. The
    queues that the store keeps for itself are nobody's buckets: they are not exported, and called what they are."""
    drives = six_more(cloud, tmp_path)
    s3, bucket = cloud.client(), cloud.bucket()
    keys.create(cloud.me.ctx, name="invoices")
    named = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "invoices"}
    bodies = {"plain": os.urandom(3 * MIB), "kms-small": os.urandom(900), "kms-large": os.urandom(5 * MIB + 3)}
    for name, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=name, Body=body, **({} if name == "plain" else named))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="kms-parts", **named)["UploadId"]
    pieces = [os.urandom(5 * MIB), os.urandom(1000)]
    tags = [
        s3.upload_part(Bucket=bucket, Key="kms-parts", UploadId=upload, PartNumber=n, Body=piece)["ETag"]
        for n, piece in enumerate(pieces, 1)
    ]
    done = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
    s3.complete_multipart_upload(Bucket=bucket, Key="kms-parts", UploadId=upload, MultipartUpload=done)
    bodies["kms-parts"] = b"".join(pieces)
    info = cloud.run(cloud.plane.directory.find_bucket(bucket))
    cloud.run(expirations.note(cloud.plane, info.id, b"plain", 4_000_000_000 * 10**9))
    for drive in drives[:2]:
        shutil.rmtree(drive / "extents")
    names = parsed(kept_names.document(kept_names.facts()))[1]
    everywhere = Place(tuple(bay.spec.path for bay in cloud.plane.store.members.bays.values()))
    with opened(everywhere) as store:
        report = check.check(store, names)
        assert (report.versions.lost, report.extents.lost, report.status) == (0, 0, check.DEGRADED), check.sentence(report)
        exported = export.export(store, names, tmp_path / "out")
    assert (exported.failed, exported.files) == (0, len(bodies))
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert {line["name"]: (tmp_path / "out" / line["file"]).read_bytes() for line in lines} == bodies
    assert names.of(expirations.QUEUE) == OWN[expirations.QUEUE]
    assert outbox.QUEUE in OWN
