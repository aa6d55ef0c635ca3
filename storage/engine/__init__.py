"""The object store's engine: replicated, checksummed, crash-safe storage of objects on the drives of one machine.

Pure Python; it knows neither HTTP nor Django. The dialects (S3, Swift) call `Store`; nothing else is meant for them.

    store = await Store.open([DriveSpec(path), ...], index=folder, worker=0)
    store.start_tending()
    version = await store.put(bucket, b"photos/cat.jpg", body, etag=md5_hex, meta=headers)
    version = store.get(bucket, b"photos/cat.jpg")          # a look-up of microseconds: synchronous
    body = await store.read(version)
    page = store.list(bucket, prefix=b"photos/", delimiter=b"/", limit=1000)
    await store.close()

One process holds one `Store`; processes on one index are told apart by `worker` (0-255). What one has acknowledged, all see.

How it works, in nine sentences
1. A small body (up to `SMALL_MAX_BYTES`) travels inside a *record*; a worker appends its records to its own *segment*, a file that
   has the same bytes at the same offset on every drive of its replica set, so workers never wait for each other to write.
2. Records of concurrent requests are committed as a group: one durable write per drive; a quorum must succeed, then one index
   transaction, then the answers, strictly in that order.
3. A large body is an *extent*, one file per drive, written beside the log and made part of the store by its record: whole copies,
   or the fragments of an erasure code (erasure.py), any k of whose k + m give it back. A fragmented body is acknowledged when k + 1
   have theirs: k could be read, but would not survive the next failure. Its record, and small bodies, have three copies even so.
4. The record is the commit; the index (LMDB, never synced) is derived from the records and can be thrown away at any time.
5. Each change has a *stamp*, unique and ordered over all workers and boots; of two changes to one identity the newer stamp wins,
   in whichever order they are read, so replaying a record twice, or too many of them, changes nothing.
6. A deletion is a record too (a tombstone), kept until no older record of its identity lies on any drive.
7. Every block has a CRC-32C that is checked when it is read; what fails is read from another drive and mended.
8. After a kill the index is still good and each worker replays the end of its own log; after a power loss the index is
   discarded and rebuilt from the newest checkpoint and the records written since.
9. Auditor, repairer, rebalancer, compactor and collector do bounded rounds, each of which says what it did; `Store.start_tending` keeps
   them going.

The on-disk format, version 1 (all integers little-endian unless said otherwise)

A drive is a folder:
    drive.json                  format, store id, drive id (both UUIDs), when it joined
    members.json                all drives of the store with a generation number; the newest one counts. A drive that was given
                                up is not a member: its files are never read again, and removed when it comes back
    segments/<16 hex digits>    named after the segment's id
    extents/<2 hex>/<32 hex>    named after the blob's id; of a code, with a hyphen and the fragment's number behind it
    checkpoints/<16 hex>        a compact copy of the index, named after the stamp of its making
    spares/<16 hex>             files of retired segments, to become new ones; nothing in them counts, and they may be removed

A segment begins with a header of 4,096 bytes, padded with zeros:
    8s  "CbxSegm1"      Q  segment id (a stamp)     B  worker     B  storage class     H  header length
    Q   capacity in bytes       16s  store id       B  number of drives, 16s* their ids    I  CRC-32C of all before
Records follow, each starting where the one before ends:
    4s  "CbR1"          Q  segment id (an old record in a reused file never matches)
    B   record type     B  format version           H  key length
    Q   stamp           I  entry length             I  body length
    I   CRC-32C of key and entry                    I  CRC-32C of the body      I  CRC-32C of the 40 bytes before
    key, entry, body
The end of a segment is where no valid record follows; a reader that finds a damaged record searches for the next header
(the magic and the segment id are adjacent, so a search for twelve bytes finds it) and takes the damaged one from another drive.

Record types, key and entry:
    1 PUT           bucket (16 bytes) + name     entry of a version (entries.py); the body is the object's, or a manifest
    2 DELETE        bucket + name                Q version stamp, B null mark: a tombstone of one version
    3 PART          upload id (16) + H number    entry of a part; the body is the part's if it is small
    4 UPLOAD        upload id                    entry of an upload: bucket, name, properties
    5 UPLOAD_END    upload id                    tombstone of an upload: empty, or the id of the manifest that took parts of it
    6 DROP          bucket                       tombstone of a bucket
    7 ABORT         empty                        Q* stamps of records that did not reach their quorum and do not count
A PUT that completes an upload names it, and so is its tombstone as well: one record, one commit.

An extent holds the body from offset 0, then, at the next multiple of 4,096, the CRC-32C (I) of each block of 256 KiB; its last 64 bytes,
which end at a multiple of 4,096, are a trailer:
    8s "CbxExtn1"   16s blob id   Q size   I block size   I blocks   B fragment   B data fragments   B parity fragments   13x
    I  CRC-32C of the table       I CRC-32C of the 60 bytes before
Of a code k + m (trailer: number of the fragment, k, m; of a whole copy: zeros) a file holds its blocks of all stripes. A stripe is k
blocks of 256 KiB of the body, block n in fragment n; fragments k and up hold parity (Reed-Solomon, Cauchy matrix, as ISA-L's
isa_l_rs_cauchy has it). The last stripe's blocks are as short as whole pages allow, and filled up with zeros. Size and checksums in
table and trailer are the fragment's own; the body's size is in the record that brings the extent, with k, m, and the drives in the
order of fragments, 16 zero bytes for one that found no drive.
A manifest (the body of a PUT made of parts) is a row per part: 16s blob id, Q size, H number, B length of etag, etag, facts.

The index holds, per bucket, names in exact byte order. LMDB limits keys to 511 bytes and names may have 1,024: a name is cut after
every 440 bytes, and all names that share such a piece lie in a key space of their own, whose id is a digest of the space above and
the piece (names.py). Order is kept, look-ups stay computations, and a usual name costs nothing.
"""

from typing import TYPE_CHECKING, Any

from storage.engine.types import (
    NULL,
    SMALL_MAX_BYTES,
    STORAGE_CLASSES,
    Columns,
    Condition,
    DriveSpec,
    Listing,
    Mode,
    Part,
    StorageClass,
    Summaries,
    Upload,
    Usage,
    Version,
    absent,
    unchanged,
)

if TYPE_CHECKING:
    from storage.engine.store import Store

__all__ = [
    "NULL",
    "SMALL_MAX_BYTES",
    "STORAGE_CLASSES",
    "Columns",
    "Condition",
    "DriveSpec",
    "Listing",
    "Mode",
    "Part",
    "StorageClass",
    "Store",
    "Summaries",
    "Upload",
    "Usage",
    "Version",
    "absent",
    "unchanged",
]


def __getattr__(name: str) -> Any:
    """The store itself is loaded by who opens one. Portal and worker know its types only, and need none of its libraries."""
    if name != "Store":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from storage.engine.store import Store

    return Store
