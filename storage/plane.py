"""What every verb of the data plane works with: the store, the directory, threads, the room that is left. One per worker process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cloudbox.common.errors import QuotaExceeded
from storage.directory import BucketInfo, Directory
from storage.tallies import Traffic

if TYPE_CHECKING:
    from storage.engine import Store

# Configuration verbs and loads of the directory wait for PostgreSQL in these; no object passes through them.
THREADS = 8
TOTAL_SECONDS = 1.0  # How old a project's total may be.
R = TypeVar("R")


@dataclass(slots=True)
class _Total:
    bytes: int
    objects: int
    bytes_max: int | None
    objects_max: int | None
    until: float


class Plane:
    """The worker's tools, handed to the dialects and by them to the verbs."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        pool: ThreadPoolExecutor,
        *,
        region: str = "us-east-1",
        regions: Sequence[str] = (),
        storage_class: str = "replicated-3",
    ) -> None:
        """`regions` are names that clients may give this place as well; `storage_class` is what new buckets get."""
        self.store, self.directory, self.pool = store, directory, pool
        self.region, self.regions, self.storage_class = region, tuple(regions), storage_class
        self.traffic = Traffic()
        self._totals: dict[str, _Total] = {}

    async def run(self, function: Callable[..., R], *args: Any) -> R:
        """In a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *args)

    # --- quotas

    async def admit(self, bucket: BucketInfo, size: int) -> None:
        """Raise QuotaExceeded if `size` more bytes in one more object would go over the bucket's or its project's quota.

        What is under way in other workers counts from its commit on, so several at once may together go over by their sizes.
        """
        if bucket.quota_bytes is not None or bucket.quota_objects is not None:
            usage = self.store.usage(bucket.id)
            _check(usage.bytes + usage.upload_bytes, usage.objects, bucket.quota_bytes, bucket.quota_objects, size, "The bucket's quota")
        total = self._totals.get(bucket.owner)
        if total is None or total.until < time.monotonic():
            total = await self._count(bucket.owner)
        _check(total.bytes, total.objects, total.bytes_max, total.objects_max, size, "Your project's quota")
        total.bytes += size
        total.objects += 1

    async def _count(self, project: str) -> _Total:
        account = await self.directory.find_account(project)
        usages = [self.store.usage(id) for id in account.buckets] if account else []
        total = _Total(
            bytes=sum(usage.bytes + usage.upload_bytes for usage in usages),
            objects=sum(usage.objects for usage in usages),
            bytes_max=account.bytes_max if account else 0,
            objects_max=account.objects_max if account else 0,
            until=time.monotonic() + TOTAL_SECONDS,
        )
        self._totals[project] = total
        return total


def _check(bytes_used: int, objects_used: int, bytes_max: int | None, objects_max: int | None, size: int, whose: str) -> None:
    if bytes_max is not None and bytes_used + size > bytes_max:
        raise QuotaExceeded(f"{whose} of {bytes_max} bytes has no room for {size} more. Delete something, or ask for more.")
    if objects_max is not None and objects_used + 1 > objects_max:
        raise QuotaExceeded(f"{whose} of {objects_max} objects is used up. Delete something, or ask for more.")
