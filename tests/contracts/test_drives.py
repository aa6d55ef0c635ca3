"""What every drive promises, held to by the one on a file system and the one in memory alike."""

from __future__ import annotations

import errno
import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.engine.drives import FOLDERS, IOV_MAX, Drive, FilesystemDrive
from storage.engine.simulated import MemoryDrive, Platter

PAGE = 4096


@pytest.fixture(params=["filesystem", "memory"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Drive]:
    """Plugs the same drive in; call it twice to see what a restart would."""
    platter = Platter()
    return (lambda: FilesystemDrive(tmp_path)) if request.param == "filesystem" else (lambda: MemoryDrive(platter))


def page(data: bytes) -> memoryview:
    aligned = mmap.mmap(-1, PAGE)
    aligned[: len(data)] = data
    return memoryview(aligned)


def test_a_file_keeps_what_is_written(again: Callable[[], Drive]) -> None:
    """Several buffers go to one place in order, more than a system call takes; a gap reads as zeros; the end cuts a read short."""
    file = again().create("segments/a")
    file.write([b"one", bytearray(b"two"), memoryview(b"three")], 5, durable=True)
    file.write([b"%04d" % n for n in range(IOV_MAX + 10)], 100, durable=True)
    other = again().open("segments/a")
    assert other.read(0, 16) == bytes(5) + b"onetwothree"
    assert other.read(100 + 4 * IOV_MAX, 8) == b"%04d%04d" % (IOV_MAX, IOV_MAX + 1)
    assert other.size() == 100 + 4 * (IOV_MAX + 10)
    assert other.read(other.size() - 4, 100) == b"%04d" % (IOV_MAX + 9)
    assert other.read(other.size() + 1, 10) == b""
    assert other.read_cached(5, 3) in (b"one", None)
    file.sync()


def test_names(again: Callable[[], Drive]) -> None:
    """A name is taken once, listed until it is removed; removing it twice is no error; reading what is not there is one."""
    drive = again()
    assert drive.names("segments") == []
    drive.create("segments/a").close()
    with pytest.raises(FileExistsError):
        drive.create("segments/a")
    assert again().names("segments") == ["segments/a"]
    file = drive.open("segments/a", write=True)
    file.write([b"x"], 0)
    drive.remove("segments/a")
    drive.remove("segments/a")
    assert again().names("segments") == []
    assert file.read(0, 1) == b"x", "who has it open reads on"
    with pytest.raises(FileNotFoundError):
        drive.open("segments/a")


def test_a_file_gets_another_name(again: Callable[[], Drive]) -> None:
    """It keeps its bytes, and who has it open; a name that is taken stays with its file; what is not there cannot be moved."""
    drive = again()
    file = drive.create("segments/a", PAGE)
    drive.move("segments/a", "spares/b")
    file.write([b"late"], 0, durable=True)
    assert (again().names("segments"), again().names("spares")) == ([], ["spares/b"])
    assert again().open("spares/b").read(0, 5) == b"late\0"
    drive.create("segments/c")
    with pytest.raises(FileExistsError):
        drive.move("spares/b", "segments/c")
    with pytest.raises(FileNotFoundError):
        drive.move("segments/a", "segments/d")
    assert sorted([*again().names("segments"), *again().names("spares")]) == ["segments/c", "spares/b"]


def test_a_file_takes_its_room_at_once(again: Callable[[], Drive]) -> None:
    """It is there as zeros; more than there is, is refused, and leaves no file."""
    file = again().create("segments/a", 3 * PAGE)
    assert (file.size(), file.read(PAGE, 10)) == (3 * PAGE, bytes(10))
    with pytest.raises(OSError) as raised:
        again().create("segments/b", again().space()[1] * 2)
    assert raised.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert again().names("segments") == ["segments/a"]


def test_an_unnamed_file_appears_when_it_is_published(again: Callable[[], Drive]) -> None:
    """Nothing is listed before, and nothing is left if it is closed instead; its size is as said."""
    drive = again()
    file = drive.create_unnamed(2 * PAGE)
    file.write([page(b"hello")], 0)
    assert drive.names("extents") == []
    file.publish("extents/ab/abcd", PAGE)
    file.close()
    assert again().names("extents") == ["extents/ab/abcd"]
    found = again().open("extents/ab/abcd")
    assert (found.size(), found.read(0, 6)) == (PAGE, b"hello\0")
    twin = drive.create_unnamed(PAGE)
    twin.write([page(b"other")], 0)
    with pytest.raises(FileExistsError):
        twin.publish("extents/ab/abcd", PAGE)
    twin.close()
    drive.create_unnamed(PAGE).close()
    assert again().names("extents") == ["extents/ab/abcd"]


def test_small_files_are_replaced_whole(again: Callable[[], Drive]) -> None:
    drive = again()
    assert drive.load("drive.json") is None
    drive.save("drive.json", b"one")
    drive.save("drive.json", b"two")
    assert again().load("drive.json") == b"two"


def test_space(again: Callable[[], Drive]) -> None:
    free, total = again().space()
    assert 0 < free <= total


def test_a_missing_folder_is_a_missing_drive(tmp_path: Path) -> None:
    """It is not made: the disk that belongs there may not be mounted."""
    with pytest.raises(FileNotFoundError):
        FilesystemDrive(tmp_path / "not mounted")
    drive = FilesystemDrive(tmp_path)
    for folder in FOLDERS:
        (tmp_path / folder).rmdir()
    tmp_path.rmdir()
    for operation in (lambda: drive.names("segments"), lambda: drive.load("drive.json"), lambda: drive.remove("segments/a")):
        with pytest.raises(FileNotFoundError):
            operation()
    tmp_path.mkdir()


# --- what only the simulated one can do


def test_power_loss_tears_what_was_not_synced() -> None:
    """Durable bytes survive, also those beside torn ones in the same sector; of unsynced ones each sector is there or not."""
    platter = Platter(seed=1)
    file = MemoryDrive(platter).create("segments/a")
    file.write([b"d" * 700], 0, durable=True)
    file.write([b"u" * 10_000], 700)
    platter.power_loss()
    seen = MemoryDrive(platter).open("segments/a").read(0, 20_000)
    assert seen[:700] == b"d" * 700
    rest = seen[700:]
    assert set(rest) <= {0, ord("u")}
    assert 0 < rest.count(b"u") < 10_000


def test_the_power_goes_at_an_operation() -> None:
    """The write under way fails and is torn, everything after fails, and after a power loss the drive is there again."""
    platter = Platter(seed=3)
    file = MemoryDrive(platter).create("segments/a")
    platter.power.cut_after(2)
    file.write([b"1" * 5000], 0, durable=True)
    with pytest.raises(OSError, match="power"):
        file.write([b"2" * 5000], 5000, durable=True)
    with pytest.raises(OSError, match="power"):
        file.read(0, 1)
    platter.power_loss()
    seen = MemoryDrive(platter).open("segments/a").read(0, 10_000)
    assert seen[:5000] == b"1" * 5000
    assert len(seen) < 10_000 or b"\0" in seen


def test_faults_are_raised_as_asked() -> None:
    platter = Platter(capacity=10_000)
    drive = MemoryDrive(platter)
    file = drive.create("segments/a")
    platter.fail("write", errno.EROFS, times=1)
    with pytest.raises(OSError) as raised:
        file.write([b"x"], 0)
    assert raised.value.errno == errno.EROFS
    file.write([b"x"], 0)
    with pytest.raises(OSError) as raised:
        file.write([bytes(20_000)], 0)
    assert raised.value.errno == errno.ENOSPC
    platter.fail("any")
    for operation in (lambda: drive.names("segments"), lambda: file.read(0, 1), file.sync, drive.space):
        with pytest.raises(OSError):
            operation()
    platter.heal()
    before = platter.snapshot()
    file.write([b"y"], 0, durable=True)
    platter.restore(before)
    assert drive.open("segments/a").read(0, 1) == b"x"
    platter.flip("segments/a", 0, 0xFF)
    assert drive.open("segments/a").read(0, 1) != b"x"
