"""Files of images in the object store and on the host: copied, fetched, checked, evicted; with a store in memory that can be away."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from cloudbox.common.errors import CloudError, Conflict, NotFound, Unavailable
from compute import changes, host, image_copies, images
from compute.image_copies import Place
from compute.models import Image, ImageCopy
from tests.buckets import Buckets
from tests.world import World, work

BUCKET, PREFIX = "cbx-images", "cbx/"


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    store = Buckets(objects={})
    place = Place("", store, BUCKET, PREFIX)
    monkeypatch.setattr(image_copies, "_own", lambda: place)
    monkeypatch.setattr(image_copies, "PART_BYTES", 10)
    image_copies.reset()
    yield store
    image_copies.reset()


def made(world: World, body: bytes = b"QFI\xfb an image of some bytes", *, name: str = "more") -> Image:
    image = Image.objects.create(project=world.project, name=name, status=Image.Status.READY, size_bytes=len(body), virtual_bytes=2**20)
    image_copies.put(image.id, io.BytesIO(body))
    return image


def key(id: UUID) -> str:
    return f"{PREFIX}{id}.qcow2"


def here() -> set[UUID]:
    return set(host.images().all())


def test_copied_evicted_and_fetched_again(world: World, buckets: Buckets, settings: object) -> None:
    """Each file goes to the store in parts; the host's goes when there is no room, the longest unused first; a launch brings it back."""
    first, second = made(world, name="first"), made(world, b"QFI\xfb others", name="second")
    image_copies.tend()
    assert buckets.objects[BUCKET][key(first.id)] == b"QFI\xfb an image of some bytes"
    assert set(ImageCopy.objects.values_list("id", flat=True)) >= {first.id, second.id}
    os.utime(host.images().path(first.id), (1, 1))
    settings.IMAGE_CACHE_BYTES = sum(host.images().path(id).stat().st_size for id in here()) - 1  # type: ignore[attr-defined]
    image_copies.tend()
    assert first.id not in here()
    assert second.id in here()
    assert not ImageCopy.objects.get(id=first.id).is_here
    assert image_copies.has(first.id)
    world.running(image_id=first.id)
    assert host.images().path(first.id).read_bytes() == b"QFI\xfb an image of some bytes"
    # What a disk stands on stays, however little room there is.
    settings.IMAGE_CACHE_BYTES = 0  # type: ignore[attr-defined]
    image_copies.tend()
    assert here() == {first.id}


def test_leases_keep_a_file(world: World, buckets: Buckets, settings: object) -> None:
    """Between its fetching and the disk that is made of it nobody takes it away; deleted images leave the store."""
    settings.IMAGE_CACHE_BYTES = 0  # type: ignore[attr-defined]
    image = made(world)
    image_copies.tend()
    assert image.id not in here()
    with image_copies.file(image.id) as path:
        image_copies.tend()
        assert path.exists()
    image_copies.tend()
    assert not path.exists()
    images.delete(world.ctx("member"), image.id)
    image_copies.tend()
    assert key(image.id) not in buckets.objects[BUCKET]
    assert not ImageCopy.objects.filter(id=image.id).exists()
    with pytest.raises(NotFound), image_copies.file(image.id):
        pass


def test_the_store_is_away(world: World, buckets: Buckets, settings: object) -> None:
    """Images can be brought in and launched from; only what the host has no file of has to wait, and says why."""
    settings.IMAGE_CACHE_BYTES = 0  # type: ignore[attr-defined]
    image = made(world, name="far")
    image_copies.tend()
    buckets.breaks_after = 0
    near = made(world, name="near")
    with pytest.raises(Unavailable):
        image_copies.tend()
    assert near.id in here(), "without a copy, the host's file is the only one"
    with image_copies.file(near.id) as path:
        assert path.exists()
    with pytest.raises(Unavailable, match="lies in the object store, which does not answer"), image_copies.file(image.id):
        pass
    buckets.breaks_after = None
    image_copies.tend()
    assert key(near.id) in buckets.objects[BUCKET]


@pytest.mark.parametrize("after", range(8))
def test_cut_off_anywhere(world: World, buckets: Buckets, after: int) -> None:
    """A crash at any request: the file stays, the next life begins anew, and nothing of the former lies about."""
    for row in Image.objects.all():
        host.images().delete(row.id)
    image = made(world)
    buckets.breaks_after = after
    try:
        image_copies.tend()
        whole = True
    except CloudError:
        whole = False
    assert whole == ImageCopy.objects.filter(id=image.id).exists()
    assert image.id in here()
    buckets.breaks_after = None
    image_copies.reset()
    image_copies.tend()
    assert buckets.objects[BUCKET] == {key(image.id): b"QFI\xfb an image of some bytes"}
    assert not buckets.uploads


def test_a_large_one_takes_several_rounds(world: World, buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that is over goes on where it was; other bytes under the same id begin anew, and their copy is theirs."""
    image = made(world, b"QFI\xfb" + bytes(96))
    host.images().delete(world.image.id)
    rounds = 0
    put_part = buckets.put_part

    def slow(*args: object) -> object:
        clock[0] += 1.0
        return put_part(*args)  # type: ignore[arg-type]

    clock = [0.0]
    monkeypatch.setattr(buckets, "put_part", slow)
    monkeypatch.setattr(image_copies.time, "monotonic", lambda: clock[0])
    while not ImageCopy.objects.filter(id=image.id).exists():
        image_copies.tend(seconds=3.0)
        rounds += 1
        assert rounds < 10
        if rounds == 2:
            image_copies.put(image.id, io.BytesIO(b"QFI\xfb" + b"x" * 66))
    assert rounds > 3
    assert buckets.objects[BUCKET][key(image.id)] == b"QFI\xfb" + b"x" * 66
    assert not buckets.uploads


def test_what_comes_back_is_checked(world: World, buckets: Buckets, settings: object) -> None:
    """Bytes that are not what was stored are refused, and none of them stay."""
    settings.IMAGE_CACHE_BYTES = 0  # type: ignore[attr-defined]
    image = made(world)
    image_copies.tend()
    for bad in (b"QFI\xfb an image of evil bytes", b"QFI\xfb an image", b""):
        buckets.objects[BUCKET][key(image.id)] = bad
        with pytest.raises(Conflict, match="other bytes than were stored"), image_copies.file(image.id):
            pass
        assert image.id not in here()


def test_bucket_and_tables_are_compared(world: World, buckets: Buckets) -> None:
    """Objects that nothing stands for go; a copy that somebody deleted is made again; what is not ours stays."""
    image = made(world)
    image_copies.tend()
    stray, foreign = uuid4(), f"other/{uuid4()}.qcow2"
    for name in (key(stray), foreign, f"{PREFIX}notes.txt"):
        buckets.objects[BUCKET][name] = b"x"
    del buckets.objects[BUCKET][key(image.id)]
    image_copies.reset()
    image_copies.tend()
    image_copies.tend()
    assert key(stray) not in buckets.objects[BUCKET]
    assert buckets.objects[BUCKET].keys() >= {foreign, f"{PREFIX}notes.txt", key(image.id)}


def test_a_shelved_disk_leaves_the_host(world: World, buckets: Buckets) -> None:
    """It goes to the store and comes back with its bytes; the next time that it is shelved, it is the new disk that goes."""
    instance = world.running(name="web")
    root = host.volumes().root_path(instance.id)
    for turn in (b"one", b"two"):
        root.write_bytes(root.read_bytes()[:8] + turn)
        changes.shelve(world.ctx("member"), instance.id)
        work()
        image_copies.tend()
        assert instance.id not in here()
        assert buckets.objects[BUCKET][key(instance.id)][8:] == turn
        changes.unshelve(world.ctx("member"), instance.id)
        work()
        assert root.read_bytes()[8:] == turn
    image_copies.tend()
    assert key(instance.id) not in buckets.objects[BUCKET]


def test_another_store(world: World, buckets: Buckets, settings: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box is told of another S3: what lies in its own moves there, and nothing is without a copy but on its way."""
    settings.IMAGE_CACHE_BYTES = 0  # type: ignore[attr-defined]
    rows = [made(world, name=f"image-{n}") for n in range(3)]
    image_copies.tend()
    other = Buckets(objects={"far": {}})
    settings.IMAGE_STORE = {"url": "https://s3.example.org", "bucket": "far"}  # type: ignore[attr-defined]
    monkeypatch.setattr(image_copies, "_given", lambda: Place("https://s3.example.org/far", other, "far", PREFIX))
    for _ in range(10):
        image_copies.tend()
    assert {key(row.id) for row in rows} <= other.objects["far"].keys()
    assert not buckets.objects[BUCKET]
    settings.IMAGE_STORE = {}  # type: ignore[attr-defined]
    monkeypatch.setattr(image_copies, "_given", lambda: None)
    with pytest.raises(NotFound, match=r"lies in https://s3\.example\.org/far"), image_copies.file(rows[0].id):
        pass


def test_census(world: World, buckets: Buckets, settings: object, tmp_path: Path) -> None:
    settings.IMAGE_CACHE_BYTES = 0  # type: ignore[attr-defined]
    settings.STORE_URL = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    made(world)
    before = image_copies.census()
    assert before.waiting
    assert not before.stored
    image_copies.tend()
    after = image_copies.census()
    assert (after.waiting, after.cached) == (0, 0)
    assert after.stored_bytes >= 27
