"""Shows what a person does with a bucket: upload a large file and a folder, pause, reload, go on, look inside, share, copy, delete."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Tab
from tests.browser.site import Site
from tests.browser.test_pages import _axe

pytestmark = pytest.mark.browser
MIB = 2**20
LARGE = 20 * MIB
HOSTILE = "<img src=x onerror='window.hacked=1'>.txt"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A large file, a small one with a hostile name, and a folder with a folder in it."""
    source = random.Random(7)
    (tmp_path / "large.bin").write_bytes(source.randbytes(LARGE))
    (tmp_path / HOSTILE).write_text("<script>window.hacked = 1</script>")
    inside = tmp_path / "album" / "day one"
    inside.mkdir(parents=True)
    for number in range(24):
        (inside / f"{number:02} ü.txt").write_bytes(source.randbytes(1000 + number))
    (tmp_path / "album" / "index.md").write_text("# An album")
    return tmp_path


def open_bucket(site: Site, tab: Tab, bucket: str = "archive", **query: str) -> Page:
    tab.page.set_default_timeout(60_000)
    tab.page.goto(f"{site.url}/p/demo/buckets/{bucket}/o" + "".join(f"?{name}={value}" for name, value in query.items()))
    return tab.page


@pytest.mark.slow
def test_upload_pause_reload_resume_share_delete(own_site: Site, open_tab: Callable[..., Tab], files: Path) -> None:
    tab = open_tab(own_site, "admin")
    page = open_bucket(own_site, tab)
    # Its last part hangs on the way, so that there is a middle in which to pause.
    page.route(re.compile("partNumber=3"), lambda route: None)
    page.set_input_files("#ob-files", files / "large.bin")
    large = page.locator("#tray li").filter(has_text="large.bin")
    expect(large.locator("[data-f=percent]")).to_have_text("80 %", timeout=60_000)
    page.get_by_role("button", name="Pause large.bin").click()
    expect(large).to_contain_text("Paused")
    assert not _axe(tab)
    page.unroute_all(behavior="ignoreErrors")
    # Every other page tells of it, and leads back.
    page.goto(f"{own_site.url}/p/demo/instances")
    expect(page.locator("#unfinished")).to_contain_text("1 upload not finished: large.bin in archive.")
    assert not _axe(tab)
    page.locator("#unfinished a").click()
    expect(page.locator("#unfinished")).to_have_count(0)
    expect(large).to_contain_text("Choose the file again")
    expect(large).to_contain_text("16.0 MiB of 20.0 MiB are there")
    # Another file of that name is not taken for it; the same one goes on where it was.
    (files / "other").mkdir()
    (files / "other" / "large.bin").write_bytes(b"short")
    with page.expect_file_chooser() as chooser:
        large.get_by_role("button", name="Continue").click()
    chooser.value.set_files(files / "other" / "large.bin")
    expect(large).to_contain_text("Choose the same file")
    with page.expect_file_chooser() as chooser:
        large.get_by_role("button", name="Continue").click()
    chooser.value.set_files(files / "large.bin")
    expect(large).to_contain_text("Checksum agrees")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("#tray")).to_be_hidden()

    # A folder with its folders, and a name that means harm.
    page.set_input_files("#ob-folders", files / "album")
    page.set_input_files("#ob-files", files / HOSTILE)
    expect(page.locator("#tray h2")).to_have_text("26 files uploaded")
    expect(page.locator(".bo-t .cb-name")).to_have_text([re.compile("album/"), re.compile("img src"), "large.bin"])
    # The same again loses what is there: it is asked.
    page.set_input_files("#ob-files", files / HOSTILE)
    expect(page.locator("#tray")).to_contain_text("already")
    page.get_by_role("button", name="Skip all").click()
    expect(page.locator("#tray")).to_contain_text("Skipped")
    # Moving about keeps the tray.
    page.get_by_role("link", name="album/").click()
    page.get_by_role("link", name="day one/").click()
    expect(page.locator(".bo-t tbody tr")).to_have_count(24)
    expect(page.locator("#tray")).to_be_visible()
    page.go_back()
    page.go_back()

    # A link that a stranger opens: every byte came through the pause, the reload and the resume.
    page.get_by_role("link", name="large.bin").click()
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#ob-link").input_value()
    stranger = open_tab(own_site, "")
    answer = stranger.page.request.get(link)
    assert answer.status == 200
    assert hashlib.sha256(answer.body()).digest() == hashlib.sha256((files / "large.bin").read_bytes()).digest()
    page.get_by_role("link", name="Close details").click()

    # The hostile one: shown, shared, opened, and nothing runs.
    page.locator(".bo-t .cb-name").nth(1).click()
    expect(page.locator(".ob-text pre")).to_contain_text("window.hacked = 1")
    page.get_by_role("button", name="Make a link").click()
    stranger.page.goto(page.locator("#ob-link").input_value())
    assert stranger.page.evaluate("window.hacked") is None
    assert page.evaluate("window.hacked") is None

    # Away with all of it: counted first, typed, told.
    page.get_by_label("Select all").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    dialog = page.locator("#ob-delete")
    expect(dialog).to_contain_text("27 objects, 20.0 MiB")
    expect(dialog.get_by_role("button", name="Delete 27 objects")).to_have_attribute("aria-disabled", "true")
    assert not _axe(tab)
    dialog.get_by_label("Type archive to confirm").fill("archive")
    dialog.get_by_role("button", name="Delete 27 objects").click()
    expect(page.locator("#toasts")).to_contain_text("Deleted 27 objects.")
    expect(page.get_by_text("This bucket is empty")).to_be_visible()
    assert not tab.complaints()


def test_look_rename_copy_and_keys(own_site: Site, open_tab: Callable[..., Tab]) -> None:
    """By the keyboard, too; in a bucket with versions a deletion asks less, and is taken back."""
    tab = open_tab(own_site, "admin")
    page = open_bucket(own_site, tab, "media", prefix="2026/launch/")
    page.get_by_role("link", name="harbour.png").click()
    page.wait_for_function("() => document.querySelector('.ob-pv img')?.naturalWidth === 1")
    page.get_by_role("link", name="press.pdf").click()
    expect(page.locator(".ob-pv iframe")).to_be_visible()
    page.get_by_role("link", name="notes.md").click()
    expect(page.locator(".ob-text pre")).to_contain_text("On Monday, at nine.")
    assert "object=2026%2Flaunch%2Fnotes.md" in page.url
    # Metadata and tags, with an error at its field.
    page.locator("summary").filter(has_text="Type, headers, metadata").click()
    page.get_by_label("Metadata").fill("no colon")
    page.locator("form[action*=properties]").get_by_role("button", name="Save").click()
    expect(page.locator("#f-metadata-e")).to_contain_text("is not “name: value”")
    page.get_by_label("Metadata").fill("camera: right")
    page.locator("form[action*=properties]").get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("Saved the properties of notes.md.")
    page.get_by_role("link", name="Close details").click()
    expect(page.get_by_role("link", name="Close details")).to_have_count(0)

    # Keys: down, select, the row's menu.
    page.locator("#main").focus()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("[data-selected]")).to_have_text("1 selected")
    page.keyboard.press("Escape")
    expect(page.locator("tbody :checked")).to_have_count(0)
    page.get_by_role("button", name="Actions for notes.md").click()
    assert not _axe(tab)
    page.get_by_role("button", name="Rename…").click()
    page.locator("#ob-copy-n").fill("notes & <b>more.md")
    assert not _axe(tab)
    page.locator("#ob-copy").get_by_role("button", name="Rename").click()
    expect(page.locator("#toasts")).to_contain_text("Renamed 1 object.")
    expect(page.get_by_role("link", name="notes & <b>more.md")).to_be_visible()

    # A folder into another bucket; into itself it cannot go.
    page.get_by_role("link", name="2026", exact=True).click()
    page.get_by_role("button", name="Actions for launch/").click()
    page.get_by_role("button", name="Copy or move…").click()
    page.get_by_label("Into the folder").fill("2026/launch/inner")
    page.locator("#ob-copy").get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#ob-copy")).to_contain_text("cannot be put into itself")
    page.locator("#ob-copy").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Actions for launch/").click()
    page.get_by_role("button", name="Copy or move…").click()
    page.get_by_label("To the bucket").select_option("archive")
    page.get_by_label("Into the folder").fill("copies")
    page.locator("#ob-copy").get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text("Copied 3 objects.")
    open_bucket(own_site, tab, "archive", prefix="copies/launch/")
    expect(page.locator(".bo-t tbody tr")).to_have_count(3)

    # Deleted, and back.
    open_bucket(own_site, tab, "media", prefix="2026/raw/")
    page.get_by_role("button", name="Actions for clip.mov").click()
    page.get_by_role("button", name="Delete…").click()
    expect(page.locator("#ob-delete")).to_contain_text("Stays: every version of it.")
    page.get_by_role("button", name="Delete “clip.mov”").click()
    expect(page.locator("#toasts")).to_contain_text("Deleted 1 object.")
    page.goto(f"{own_site.url}/p/demo/buckets/media/o?prefix=2026%2Fraw%2F&deleted=1")
    page.get_by_role("link", name="clip.mov").click()
    page.get_by_role("button", name="Take the deletion back").click()
    expect(page.locator("#toasts")).to_contain_text("clip.mov is back.")
    open_bucket(own_site, tab, "archive")
    page.get_by_label("Select all").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    page.get_by_label("Type archive to confirm").fill("archive")
    page.locator("#ob-delete").get_by_role("button", name=re.compile("^Delete 3")).click()
    expect(page.get_by_text("This bucket is empty")).to_be_visible()
    # Browsers report the two refusals that were meant.
    assert [line for line in tab.complaints() if "status of 400" not in line] == []


def test_a_new_folder_on_a_phone(own_site: Site, open_tab: Callable[..., Tab], files: Path) -> None:
    tab = open_tab(own_site, "bob", viewport=PHONE)
    page = open_bucket(own_site, tab)
    page.get_by_role("button", name="New folder").click()
    page.locator("#ob-folder-n").fill("von unterwegs")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("This folder is empty")).to_be_visible()
    assert "prefix=von+unterwegs%2F" in page.url
    page.set_input_files("#ob-files", files / HOSTILE)
    expect(page.locator("#tray")).to_contain_text("Checksum agrees")
    assert not _axe(tab)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    expect(page.locator(".bo-t tbody tr")).to_have_count(1)
    page.get_by_label("Select all").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    page.get_by_label("Type archive to confirm").fill("archive")
    page.locator("#ob-delete [data-do]").click()
    expect(page.get_by_text("This folder is empty")).to_be_visible()
    page.goto(f"{own_site.url}/p/demo/buckets/archive/o")
    page.get_by_label("Select all").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    page.get_by_label("Type archive to confirm").fill("archive")
    page.locator("#ob-delete [data-do]").click()
    expect(page.get_by_text("This bucket is empty")).to_be_visible()
    assert not tab.complaints()
