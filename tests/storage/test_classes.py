"""Storage classes as clients meet them: an erasure-coded bucket by S3, and what is said where drives are too few for one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from identity.context import Context
from storage import buckets, configurations, drive_list
from storage.drive_list import DriveList, Entry
from storage.engine import DriveSpec
from tests.storage.conftest import Cloud

MIB = 1 << 20


def test_an_erasure_coded_bucket_by_s3(cloud: Cloud, tmp_path: Path) -> None:
    """Bodies, ranges, parts and copies come back as they went, also when the files of two drives are gone."""
    drives = [tmp_path / f"drive {n}" for n in range(6)]
    for drive in drives:
        drive.mkdir()
    store = cloud.plane.store
    cloud.run(
        store.configure([DriveSpec(bay.spec.path, draining=True) for bay in store.members.bays.values()] + [DriveSpec(d) for d in drives])
    )
    cloud.plane.storage_class = "erasure-4-2"
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
    cloud.plane.storage_class = "erasure-4-2"
    try:
        cloud.bucket()
    except ClientError as error:
        said = error.response
    assert said["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "needs 6 drives, and the store has 5" in said["Error"]["Message"]
    drive_list.write(folder / drive_list.NAME, DriveList(tuple(Entry(tmp_path / f"d{n}") for n in range(6)), 2))
    assert buckets.get(Context(user=cloud.me.user, project=cloud.me.project, role="admin"), cloud.bucket()).storage_class == "erasure-4-2"
