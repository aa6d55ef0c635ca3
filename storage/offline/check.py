"""Reads everything on every drive and says what is whole, what lacks copies, what is lost, and what nobody needs any more.

Checked are: every record of every replica of every segment (headers, keys, entries, bodies, by their CRC-32C), every block of every file
of every extent, every version and every part: that what it refers to is there and good somewhere.

A stretch of a segment in which no drive has a sound record is one of two things. A power loss tears the batch that was being written,
and nobody was told of that one; or records that were acknowledged have gone bad on every drive. The server's index, if it is whole,
remembers which stretches were torn. Without it, what lies within the last batch of a segment is doubtful, since only that can have been
torn, and all else is lost. What the heads of such records still say is told. One whose object has been written again or deleted since
is no loss.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from awscrt.checksums import crc32c

from cloudbox.common.errors import CloudError
from storage.engine import Version, entries, extents, records
from storage.engine.drives import Drive, File
from storage.engine.extents import BLOCK_BYTES
from storage.engine.index import EXTENT, GOOD, INLINE, MANIFEST, OPEN, RETIRED, Blob, Segment, Shadow, version_identity
from storage.engine.lanes import BATCH_BYTES
from storage.engine.records import HEADER_BYTES, PUT, SEGMENT_HEADER_BYTES, parse_segment_header, scan
from storage.engine.recovery import holes
from storage.engine.repairer import Replicas
from storage.engine.segments import path_of
from storage.engine.types import CLASS_BY_NUMBER
from storage.offline.names import Names
from storage.offline.opening import Opened
from storage.offline.walking import blobs, buckets, versions

CHUNK_BYTES = 4 << 20
LISTED_MAX = 1000  # Lost things that are told one by one; all are counted.
ORPHAN_SECONDS = 3600.0  # Younger files may be on their way into a running server's index.
WHOLE, DEGRADED, LOST = 0, 1, 2  # Exit statuses.


@dataclass(slots=True)
class DriveReport:
    """What was found on one drive."""

    path: str
    state: str
    id: str = ""
    why: str = ""
    segments: int = 0
    extents: int = 0
    bytes: int = 0
    damaged: int = 0  # Records and extents that are bad here,
    lacking: int = 0  # and such that should be here and are not.
    errors: int = 0


@dataclass(slots=True)
class Tally:
    """Things of one kind: `degraded` ones can be read and lack copies."""

    total: int = 0
    whole: int = 0
    degraded: int = 0
    lost: int = 0
    orphaned: int = 0  # On drives, and nothing refers to them.
    bytes: int = 0


@dataclass(slots=True)
class Report:
    """All that a check has found. Sizes are in bytes."""

    live: bool = False
    incomplete: str = ""
    missing: list[str] = field(default_factory=list)  # Ids of members whose drives are not here.
    drives: list[DriveReport] = field(default_factory=list)
    segments: Tally = field(default_factory=Tally)
    records: int = 0
    extents: Tally = field(default_factory=Tally)
    buckets: int = 0
    objects: int = 0
    versions: Tally = field(default_factory=Tally)
    torn: int = 0  # Stretches without a sound record that are, or may be, the end of a batch which nobody was told of.
    doubtful: list[dict[str, Any]] = field(default_factory=list)  # What records in them may have been about.
    lost: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def status(self) -> int:
        """Exit status: 0 all is well, 1 everything can be read and something lacks copies or is damaged, 2 something is lost."""
        if self.segments.lost or self.extents.lost or self.versions.lost or self.incomplete:
            return LOST
        hurt = any(one.state != "here" or one.damaged or one.lacking or one.errors for one in self.drives) or self.missing
        return DEGRADED if hurt or self.doubtful or self.segments.degraded or self.extents.degraded else WHOLE

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"status": ("whole", "degraded", "lost")[self.status]}


Say = Callable[[str], None]


def check(store: Opened, names: Names, say: Say = lambda _: None) -> Report:
    """`say` gets a line of progress now and then."""
    return _Check(store, names, say).run()


@dataclass(slots=True)
class _Damage:
    """Where in a segment no drive has a sound record: stretches in order."""

    lows: list[int]
    highs: list[int]

    def touches(self, offset: int) -> bool:
        at = bisect_right(self.lows, offset) - 1
        return at >= 0 and offset < self.highs[at]


class _Check:
    def __init__(self, store: Opened, names: Names, say: Say) -> None:
        self._store, self._index, self._names, self._say = store, store.index, names, say
        self._report = Report(live=store.live, incomplete=store.incomplete, missing=sorted(id.hex() for id in store.missing))
        self._drives: dict[bytes, DriveReport] = {}
        for one in store.found:
            said = DriveReport(str(one.path), one.state, one.id, one.why)
            self._report.drives.append(said)
            if one.state == "here":
                self._drives[bytes.fromhex(one.id)] = said
        self._damage: dict[int, _Damage] = {}
        self._suspects: list[tuple[int, records.Record]] = []  # Heads of records whose rest is bad on every drive.
        self._bad_blobs: set[bytes] = set()
        self._told = time.monotonic()

    def run(self) -> Report:
        began = time.monotonic()
        self._segments()
        self._extents()
        self._superseded()
        self._versions()
        self._report.seconds = time.monotonic() - began
        return self._report

    def _progress(self, line: str) -> None:
        if time.monotonic() - self._told > 2:
            self._told = time.monotonic()
            self._say(line)

    def _names_on(self, drive: bytes, folder: str) -> list[str]:
        try:
            return self._store.drives[drive][1].names(folder)
        except OSError as error:
            self._drives[drive].errors += 1
            self._drives[drive].why = str(error)
            return []

    # --- segments

    def _segments(self) -> None:
        holders: dict[int, set[bytes]] = {}
        for drive in self._drives:
            for name in self._names_on(drive, "segments"):
                try:
                    holders.setdefault(int(name.removeprefix("segments/"), 16), set()).add(drive)
                except ValueError:
                    self._report.segments.orphaned += 1
        rows = {row.id: row for row in self._index.all_segments() if row.state != RETIRED}
        for number, (id, row) in enumerate(sorted(rows.items())):
            self._segment(row, holders.pop(id, set()))
            self._progress(f"segments: {number + 1:,} of {len(rows):,}, {self._report.records:,} records")
        for id, drives in holders.items():
            if self._index.segment(id) is None and not all(self._unused(id, drive) for drive in drives):
                self._report.segments.orphaned += 1

    def _unused(self, id: int, drive: bytes) -> bool:
        """A segment that was made ahead of need, or (beside a server) has come or gone since we looked."""
        try:
            file = self._store.drives[drive][1].open(path_of(id))
            return self._store.live or next(scan(file.read, id, SEGMENT_HEADER_BYTES, file.size()), None) is None
        except OSError:
            return True

    def _segment(self, row: Segment, holders: set[bytes]) -> None:
        report = self._report
        ends: dict[int, int] = {}
        has: dict[bytes, set[int]] = {}
        files: list[File] = []
        for drive in holders:
            mine = self._records_on(drive, row, ends, files)
            if mine is not None:
                has[drive] = mine
        if self._store.live and (now := self._index.segment(row.id)) is None:
            return  # The server has compacted it away while we read.
        elif self._store.live and now is not None:
            row = now
        end = max(ends.values(), default=SEGMENT_HEADER_BYTES)
        if self._store.live:
            end = min(end, row.whole if row.state == OPEN else row.end)  # Behind that the slowest drive is still writing.
            ends = {offset: stop for offset, stop in ends.items() if stop <= end}
        if not ends and not row.live:
            return  # Nothing was ever written to it.
        report.segments.total += 1
        report.segments.bytes += end
        report.records += len(ends)
        good = 0
        for drive, mine in has.items():
            lacking = len(ends.keys() - mine)
            self._drives[drive].damaged += lacking
            good += not lacking
        wanted = CLASS_BY_NUMBER[row.storage_class].replicas
        if good < wanted:
            self._note_lacking(row.replicas, holders)
        if not self._store.live and self._store.memory is not None:
            end = max(end, self._store.memory.ends.get(row.id, 0))
        gaps = sorted(holes({o: _End(e) for o, e in ends.items()}, SEGMENT_HEADER_BYTES, end))  # type: ignore[misc]
        lost = self._judge(row, gaps, ends, files)
        if not has or (row.live and not ends):
            lost = True
            self._damage[row.id] = _Damage([0], [1 << 62])
        if lost:
            report.segments.lost += 1
        elif good >= wanted:
            report.segments.whole += 1
        else:
            report.segments.degraded += 1

    def _records_on(self, drive: bytes, row: Segment, ends: dict[int, int], files: list[File]) -> set[int] | None:
        """Offsets of its sound records here; `ends` learns where each ends. None if it cannot be read."""
        said = self._drives[drive]
        try:
            file = self._store.drives[drive][1].open(path_of(row.id))
            header = parse_segment_header(file.read(0, SEGMENT_HEADER_BYTES))
            if header is not None and (header.segment != row.id or header.store != self._store.members.store):
                return None
            said.damaged += header is None
            size = min(file.size(), row.end) if self._store.live and row.state != OPEN else file.size()
            mine = set()
            for found in scan(file.read, row.id, SEGMENT_HEADER_BYTES, size):
                mine.add(found.offset)
                ends[found.offset] = found.end
        except FileNotFoundError:
            return None
        except OSError as error:
            said.errors += 1
            said.why = str(error)
            return None
        files.append(file)
        said.segments += 1
        said.bytes += row.end
        return mine

    def _judge(self, row: Segment, gaps: list[tuple[int, int]], ends: dict[int, int], files: list[File]) -> bool:
        """Whether some of the stretches without a sound record had one that counted."""
        memory = self._store.memory
        cut = self._index.note(b"abort" + row.id.to_bytes(8, "big"))
        limit = int.from_bytes(cut, "big") if cut is not None else 1 << 62
        last = max(ends.values(), default=0)
        bad = []
        if self._store.memory is None or row.id not in self._store.memory.ends:
            gaps = [*gaps, (last or SEGMENT_HEADER_BYTES, (last or SEGMENT_HEADER_BYTES) + BATCH_BYTES)]  # What may follow the last one.
        for low, high in gaps:
            if low >= limit or (memory is not None and (low, high) in memory.holes.get(row.id, ())):
                continue
            heads = _heads(files, row.id, low, high)
            if (memory is None or row.id not in memory.ends) and last - low <= BATCH_BYTES:
                self._report.torn += low < last or bool(heads)
                doubtful = [self._described(record) for record in heads if self._still_counts(record)]
                self._report.doubtful += doubtful[: LISTED_MAX - len(self._report.doubtful)]
                continue
            bad.append((low, high))
            self._suspects += [(row.id, record) for record in heads]
        if bad:
            self._damage[row.id] = _Damage([low for low, _ in bad], [high for _, high in bad])
        return bool(bad)

    # --- extents

    def _extents(self) -> None:
        where: dict[bytes, list[tuple[bytes, str]]] = {}
        for drive in self._drives:
            for name in self._names_on(drive, "extents"):
                stem = name.rsplit("/", 1)[1].partition("-")[0]
                try:
                    where.setdefault(bytes.fromhex(stem), []).append((drive, name))
                except ValueError:
                    self._report.extents.orphaned += 1
        for id, blob in blobs(self._index):
            here = where.pop(id, [])
            if blob.kind == EXTENT and blob.references:
                self._extent(id, blob, here)
            self._progress(f"extents: {self._report.extents.total:,}, {self._report.extents.bytes:,} bytes")
        for id, here in where.items():
            if not self._store.live or (self._index.blob(id) is None and _age(id) > ORPHAN_SECONDS):
                self._report.extents.orphaned += len(here)

    def _note_lacking(self, replicas: Replicas, on: set[bytes]) -> None:
        """Who should have what lacks copies. Of what has enough, one may have been moved since its record was written."""
        for drive, state in replicas:
            if drive in self._drives and drive not in on and state == GOOD:
                self._drives[drive].lacking += 1

    def _extent(self, id: bytes, blob: Blob, here: list[tuple[bytes, str]]) -> None:
        tally = self._report.extents
        good: set[str] = set()
        for drive, name in here:
            said = self._drives[drive]
            why = _damage_of(self._store.drives[drive][1], name, id)
            if why:
                said.damaged += 1
            else:
                good.add(name.rpartition("-")[2] if blob.data else said.id)
                said.extents += 1
                said.bytes += blob.size // max(1, blob.data)
        if self._store.live and len(good) < len(here) and self._index.blob(id) is None:
            return  # It was deleted while we read.
        wanted = blob.data + blob.parity if blob.data else blob.copies
        if len(good) < wanted:
            self._note_lacking(blob.replicas, {drive for drive, _ in here})
        tally.total += 1
        tally.bytes += blob.size
        if len(good) >= wanted:
            tally.whole += 1
        elif len(good) >= max(1, blob.data):
            tally.degraded += 1
        else:
            tally.lost += 1
            self._bad_blobs.add(id)

    # --- versions

    def _superseded(self) -> None:
        """Of records that are bad on every drive: those whose change still counts are lost."""
        for segment, record in self._suspects:
            if self._still_counts(record):
                self._report.versions.lost += record.type == PUT
                self._lose(self._described(record) | {"why": f"its record in segment {segment:016x} is bad on every drive"})
        for id, blob in blobs(self._index):
            place = self._damage.get(blob.place[0])
            if blob.kind != EXTENT and blob.references and place is not None and place.touches(blob.place[1]):
                self._bad_blobs.add(id)

    def _still_counts(self, record: records.Record) -> bool:
        if record.type != PUT:
            return record.type in (records.DELETE, records.PART)
        bucket, name = record.key[:16], record.key[16:]
        head = entries.head_of(record.entry)
        null = bool(head.flags & entries.NULL_VERSION)
        if self._index.dropped(bucket):
            return False
        version = self._index.get(UUID(bytes=bucket), name, "null" if null else f"{head.stamp:016x}")
        if version is not None and version.changed >= record.stamp:
            return False  # It was written again; or the index has it, and it is judged with the versions.
        with self._index.env.begin() as txn:
            raw = txn.get(version_identity(bucket, name, head.stamp, null), db=self._index.shadows)
        return raw is None or Shadow.unpack(raw).tomb < record.stamp

    def _described(self, record: records.Record) -> dict[str, Any]:
        if record.type != PUT:
            return {"record": record.type, "key": record.key.hex()}
        bucket = UUID(bytes=record.key[:16])
        return {"bucket": self._names.of(bucket), **_text(record.key[16:])}

    def _versions(self) -> None:
        found = buckets(self._index)
        self._report.buckets = len(found)
        for bucket in found:
            for version in versions(self._index, bucket):
                self._report.objects += version.latest and not version.delete_marker
                self._version(version)
                self._progress(f"versions: {self._report.versions.total:,}")

    def _version(self, version: Version) -> None:
        tally = self._report.versions
        tally.total += 1
        tally.bytes += version.size
        why = self._why_lost(version)
        if why and self._store.live:
            now = self._index.get(version.bucket, version.name, version.id)
            if now is None or (now.stamp, now.location) != (version.stamp, version.location):
                why = ""  # It was deleted or moved while we read.
        if not why:
            tally.whole += 1
            return
        tally.lost += 1
        self._lose({"bucket": self._names.of(version.bucket), **_text(version.name), "version": version.id, "why": why})

    def _why_lost(self, version: Version) -> str:
        if version.delete_marker:
            return ""
        if version.location is not None:
            damage = self._damage.get(version.location.segment)
            bad = version.location.length and damage is not None and damage.touches(version.location.offset)
            return "its body is bad on every drive" if bad else ""
        why = self._why_bad(version.blob)
        if why or not version.manifest:
            return why
        try:
            parts = self._store.reader.manifest(version)
        except (CloudError, OSError, Exception) as error:  # Whatever a damaged manifest may do.
            return f"the list of its parts cannot be read: {error or type(error).__name__}"
        for part in parts:
            if why := self._why_bad(part.blob):
                return f"part {part.number}: {why}"
        return ""

    def _why_bad(self, id: bytes) -> str:
        if id in self._bad_blobs:
            return "no drive has a good copy of its bytes"
        blob = self._index.blob(id)
        if blob is None or (blob.kind in (INLINE, MANIFEST) and not blob.place[0]):
            return "the record of its bytes is on no drive"
        return ""

    def _lose(self, what: dict[str, Any]) -> None:
        if len(self._report.lost) < LISTED_MAX:
            self._report.lost.append(what)


class _End:
    """Only the end of a record, as `holes` wants it."""

    def __init__(self, end: int) -> None:
        self.end = end


def _heads(files: Iterable[File], segment: int, low: int, high: int) -> list[records.Record]:
    """Records in a stretch whose head, key and entry are sound on some drive, though their bodies are not."""
    needle = records.MAGIC + segment.to_bytes(8, "little")
    found: dict[int, records.Record] = {}
    for file in files:
        try:
            data = file.read(low, min(high - low, BATCH_BYTES))
        except OSError:
            continue
        at = data.find(needle)
        while at >= 0:
            record = records.head_at(data, at)
            if record is not None and low + at not in found:
                found[low + at] = record
            at = data.find(needle, at + HEADER_BYTES)
    return [found[offset] for offset in sorted(found)]


def _damage_of(drive: Drive, name: str, id: bytes) -> str:
    """What is wrong with a file of an extent; empty if nothing is."""
    try:
        file = drive.open(name)
        table = extents.table_of(file.read, file.size())
        if table is None or table.blob != id:
            return "its table is bad"
        for start in range(0, table.size, CHUNK_BYTES):
            data = memoryview(file.read(start, min(CHUNK_BYTES, table.size - start)))
            for at in range(0, min(CHUNK_BYTES, table.size - start), BLOCK_BYTES):
                if crc32c(data[at : at + BLOCK_BYTES]) != table.checksums[(start + at) // BLOCK_BYTES]:
                    return f"block {(start + at) // BLOCK_BYTES} is bad"
    except OSError as error:
        return str(error)
    return ""


def _age(blob: bytes) -> float:
    """Seconds since it was begun: its id begins with a stamp."""
    return time.time() - int.from_bytes(blob[:8], "big") / 1e9


def _text(name: bytes) -> dict[str, str]:
    """A name for people and for programs."""
    try:
        return {"name": name.decode()}
    except UnicodeDecodeError:
        return {"name": name.decode(errors="replace"), "name_hex": name.hex()}


def sentence(report: Report) -> str:
    """The report for a person."""
    lines = []
    for drive in report.drives:
        facts = (
            [f"{drive.segments:,} segments, {drive.extents:,} extents, {drive.bytes:,} bytes"] if drive.state == "here" else [drive.state]
        )
        facts += [f"{count:,} {word}" for word, count in (("damaged", drive.damaged), ("lacking", drive.lacking)) if count]
        facts += [f"{drive.errors} read errors"] if drive.errors else []
        lines.append(f"drive {drive.path}: " + ", ".join(facts) + (f" ({drive.why})" if drive.why else ""))
    if report.missing:
        lines.append(f"{len(report.missing)} of the store's drives are not here: {', '.join(report.missing)}")
    for word, tally in (("segments", report.segments), ("extents", report.extents)):
        lines.append(
            f"{word}: {tally.total:,} ({tally.bytes:,} bytes), {tally.whole:,} whole, {tally.degraded:,} lack copies, "
            f"{tally.lost:,} damaged beyond repair" + (f"; {tally.orphaned:,} files that nothing refers to" if tally.orphaned else "")
        )
    lines.append(f"records: {report.records:,}" + (f"; {report.torn} torn ends of batches that nobody was told of" if report.torn else ""))
    lines.append(
        f"buckets: {report.buckets:,}; objects: {report.objects:,}; versions: {report.versions.total:,} ({report.versions.bytes:,} bytes)"
    )
    for lost in report.lost:
        named = lost.get("name")
        lines.append(
            "LOST  " + (f"{lost['bucket']}/{named}" if named is not None else f"record {lost['record']} {lost['key']}") + f": {lost['why']}"
        )
    for doubt in report.doubtful:
        named = doubt.get("name")
        what = f"{doubt['bucket']}/{named}" if named is not None else f"record {doubt['record']} {doubt['key']}"
        lines.append(f"DOUBTFUL  {what}: bad on every drive; nobody was told that it is safe, unless it was damaged later")
    if report.versions.lost > len(report.lost):
        lines.append(f"… and {report.versions.lost - len(report.lost):,} more")
    if report.incomplete:
        lines.append(report.incomplete)
    how = "read beside the running server" if report.live else "read from the drives alone"
    verdict = (
        "Everything is there, in as many copies as it should be.",
        "Everything can be read. Something lacks copies: the server makes new ones when it runs and has the drives.",
        f"{report.versions.lost:,} versions are LOST." if not report.incomplete else "Something may be LOST.",
    )[report.status]
    lines.append(f"{verdict} ({how}, {report.seconds:.1f} s)")
    return "\n".join(lines)
