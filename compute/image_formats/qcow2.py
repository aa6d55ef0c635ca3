"""QEMU's own format, versions 2 and 3 (https://www.qemu.org/docs/master/interop/qcow2.html)."""

from __future__ import annotations

from compute.image_formats.reading import Inspection, Reader, Refused, sane_size

MAGIC = b"QFI\xfb"
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION | _EXTENDED_L2
_EXT_END, _EXT_BACKING_FORMAT, _EXT_DATA_FILE, _EXT_ENCRYPTION = 0, 0xE2792ACA, 0x44415441, 0x0537BE77
_EXTENSIONS_MAX = 64
_TABLE_BYTES_MAX = 32 * 1024**2
_SNAPSHOTS_MAX = 1024


def inspect(file: Reader) -> Inspection:
    version, backing_at, backing_length, cluster_bits, size, crypt, l1_entries, l1_at, refcounts_at, refcount_clusters, snapshots, _ = (
        file.unpack(">IQIIQIIQQIIQ", 4)
    )
    if version not in (2, 3):
        raise Refused(f"This is version {version} of qcow2; 2 and 3 are understood.")
    if backing_at or backing_length:
        raise Refused("This qcow2 file is only the changes to another (its backing file). Flatten it first: qemu-img convert -O qcow2.")
    if crypt:
        raise Refused("This qcow2 file is encrypted. Convert it to one that is not first: qemu-img convert.")
    if not 9 <= cluster_bits <= 21:
        raise Refused("The qcow2 header is damaged: no file has clusters of that size.")
    length = 72
    if version == 3:
        incompatible, _, _, _, length = file.unpack(">QQQII", 72)
        if incompatible & _EXTERNAL_DATA:
            raise Refused("This qcow2 file keeps its data in another file. Put it into one first: qemu-img convert -O qcow2.")
        if incompatible & _CORRUPT:
            raise Refused("This qcow2 file is marked as damaged. Repair it first: qemu-img check -r all.")
        if incompatible & ~_KNOWN:
            raise Refused("This qcow2 file needs features that are not understood here.")
        if length < 104 or length > 1 << cluster_bits:
            raise Refused("The qcow2 header is damaged: its length makes no sense.")
    _extensions(file, length, 1 << cluster_bits)
    sane_size(size, what="qcow2 file")
    cluster = 1 << cluster_bits
    entries_per_table = cluster // (16 if version == 3 and incompatible & _EXTENDED_L2 else 8)
    if l1_entries * 8 > _TABLE_BYTES_MAX or l1_entries < -(-size // (cluster * entries_per_table)):
        raise Refused("The qcow2 header is damaged: its table of clusters does not fit the disk.")
    if l1_at % cluster or refcounts_at % cluster:
        raise Refused("The qcow2 header is damaged: a table lies where none may.")
    file.at(l1_at, l1_entries * 8)
    if refcount_clusters * cluster > _TABLE_BYTES_MAX or not refcount_clusters:
        raise Refused("The qcow2 header is damaged: its table of references makes no sense.")
    file.at(refcounts_at, 0)
    if snapshots > _SNAPSHOTS_MAX:
        raise Refused(f"This qcow2 file holds {snapshots} snapshots; {_SNAPSHOTS_MAX} are the most.")
    facts = {"version": str(version)} | ({"snapshots": f"{snapshots}, which stay behind"} if snapshots else {})
    return Inspection("qcow2", "qcow2", size, facts)


def _extensions(file: Reader, at: int, end: int) -> None:
    """A header extension may name a file, too."""
    for _ in range(_EXTENSIONS_MAX):
        if at + 8 > min(end, file.length):
            return
        kind, length = file.unpack(">II", at)
        if kind == _EXT_END:
            return
        if kind == _EXT_DATA_FILE:
            raise Refused("This qcow2 file names another file that holds its data. Put it into one first: qemu-img convert -O qcow2.")
        if kind == _EXT_BACKING_FORMAT:
            raise Refused("This qcow2 file speaks of a backing file. Flatten it first: qemu-img convert -O qcow2.")
        if kind == _EXT_ENCRYPTION:
            raise Refused("This qcow2 file is encrypted. Convert it to one that is not first: qemu-img convert.")
        if length > end:
            raise Refused("The qcow2 header is damaged: an extension is longer than the header.")
        at += 8 + -(-length // 8) * 8
    raise Refused("The qcow2 header is damaged: it never ends.")
