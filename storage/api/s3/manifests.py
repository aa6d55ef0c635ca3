"""Large objects that Swift's clients put together from segments, as S3's clients see them: one object each."""

from __future__ import annotations

from storage import manifests, objects
from storage.api.s3.call import Call
from storage.directory import BucketInfo
from storage.engine import Version
from storage.errors import NoSuchObject
from storage.manifests import Assembled, Find
from storage.objects import Content, Source, VersionSource
from storage.properties import Properties, unpack


def shown(version: Version, properties: Properties) -> Version:
    """A version with the size and the ETag that it has for S3."""
    return manifests.shown(version, properties) if manifests.is_manifest(properties) else version


def _finder(call: Call, project: str) -> Find:
    async def find(container: str, name: str) -> tuple[Version, Properties] | None:
        bucket = await call.plane.directory.find_container(project, container)
        if bucket is None:
            return None
        try:
            version = objects.find(call.plane, bucket, name.encode())
        except NoSuchObject:
            return None
        properties = unpack(version.meta)
        readable = call.judge("s3:GetObject", key=name, permission="READ", bucket=bucket, version=version, properties=properties)
        return (version, properties) if readable and "symlink" not in properties.extra else None

    return find


async def content(call: Call, bucket: BucketInfo, version: Version, properties: Properties, key: bytes, start: int, length: int) -> Content:
    """Bytes of an object as it is shown: its own, or those of the segments that it lists."""
    if not manifests.is_manifest(properties):
        return await objects.content(call.plane, version, properties, key, start, length)
    # What is shown has another size than the list itself.
    itself = call.plane.store.get(version.bucket, version.name, version.id)
    if itself is None:
        raise NoSuchObject
    return await manifests.content(call.plane, itself, properties, _finder(call, bucket.owner), start, length)


async def source(
    call: Call, bucket: BucketInfo, version: Version, properties: Properties, key: bytes, start: int = 0, length: int | None = None
) -> Source:
    """The same as the source of a copy."""
    if not manifests.is_manifest(properties):
        return VersionSource(call.plane, version, properties, key, start, length)
    length = version.size - start if length is None else length
    got = await content(call, bucket, version, properties, key, start, length)
    assert not isinstance(got, bytes | list | tuple)
    return Assembled(got, length)  # type: ignore[arg-type]
