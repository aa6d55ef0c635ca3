"""What lifecycle rules would delete today: a bounded look through the bucket by S3, as the person who asks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudbox.common import clock
from cloudbox.common.object_client import ObjectClient
from identity.context import Context
from storage import clients, lifecycle
from storage.lifecycle import Preview, Seen
from storage.models import Bucket

VERSIONS_MAX = 20_000
# A page waits for this: with tags in a rule, each object that fits otherwise costs a request.
SECONDS = 4.0


def lifecycle_preview(ctx: Context, bucket: Bucket, rules: Sequence[Mapping[str, Any]]) -> Preview:
    """`rules` in the form of storage.lifecycle; they need not be the bucket's. `complete` tells whether all of it was seen."""
    ctx.require("buckets.list")
    parsed = lifecycle.parse(rules)
    client, name = clients.of(ctx), clients.s3_name(bucket)
    tagged = any(rule.filter.tags for rule in parsed)
    versions = _Versions(client, name, tagged=tagged, until=time.monotonic() + SECONDS)
    versioned = bucket.versioning != Bucket.Versioning.OFF
    found = lifecycle.preview(parsed, versions, clock.now(), versioned=versioned, limit=VERSIONS_MAX)
    found.complete = found.complete and not versions.cut
    return found


class _Versions:
    """The versions of a bucket page by page, until there are no more or the time is up (then `cut`)."""

    def __init__(self, client: ObjectClient, bucket: str, *, tagged: bool, until: float) -> None:
        self._client, self._bucket, self._tagged, self._until = client, bucket, tagged, until
        self.cut = False

    def __iter__(self) -> Iterator[Seen]:
        after = after_version = ""
        while True:
            page = self._client.list_versions(self._bucket, after=after, after_version=after_version)
            for entry in page.entries:
                if self._tagged and time.monotonic() > self._until:
                    self.cut = True
                    return
                tags: Mapping[str, str] = {}
                if self._tagged and not entry.marker:
                    tags = _Tags(self._client, self._bucket, entry.key, entry.version)
                assert entry.modified is not None
                yield Seen(entry.key.encode("utf-8", "surrogateescape"), entry.modified, entry.size, tags, entry.marker)
            after, after_version = page.next, page.next_version
            if not after:
                return
            if time.monotonic() > self._until:
                self.cut = True
                return


class _Tags(Mapping[str, str]):
    """The tags of a version, asked for when a rule looks at them."""

    def __init__(self, client: ObjectClient, bucket: str, key: str, version: str) -> None:
        self._of = (client, bucket, key, version)
        self._known: Mapping[str, str] | None = None

    def _read(self) -> Mapping[str, str]:
        if self._known is None:
            client, bucket, key, version = self._of
            self._known = client.tags(bucket, key, version=version)
        return self._known

    def __getitem__(self, name: str) -> str:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
