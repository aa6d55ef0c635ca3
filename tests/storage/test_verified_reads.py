"""Every read is checked, be it the first or one of many: a drive may answer otherwise from one moment to the next."""

from __future__ import annotations

import random

from tests.storage.conftest import Cloud, cloud

__all__ = ["cloud"]


def test_a_copy_that_goes_bad_between_two_reads(cloud: Cloud) -> None:
    """Whichever drive it is on: the bytes are right, and the copy is put right."""
    client, bucket, body = cloud.client(), cloud.bucket(), random.Random(1).randbytes(8 * 2**20)
    client.put_object(Bucket=bucket, Key="large", Body=body)

    def read() -> bytes:
        found: bytes = client.get_object(Bucket=bucket, Key="large")["Body"].read()
        return found

    assert read() == read() == body
    copies = [path for bay in cloud.plane.store.members.bays.values() for path in bay.spec.path.glob("extents/*/*")]
    assert len(copies) == 3
    healed = 0
    for copy in copies:
        was = copy.read_bytes()
        with copy.open("r+b") as file:
            file.seek(3 * 2**20 + 7)
            file.write(bytes([was[3 * 2**20 + 7] ^ 1]))
        assert read() == body
        healed += copy.read_bytes() == was
        copy.write_bytes(was)
    assert healed, "the drive that is asked first was among them"
