"""As a person does it: every step in the portal, in Chromium, waiting for what the page shows by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, WIDE, sign_in, watched
from tests.browser.site import Site
from tests.life.guest import PATIENCE
from tests.whole_box import WholeBox


class Portal:
    def __init__(self, page: Page, url: str) -> None:
        self.page, self.base = page, f"{url}/p/demo"
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)

    def _open(self, path: str) -> Page:
        self.page.goto(f"{self.base}/{path}")
        return self.page

    def _press(self, name: str, within: Page | Locator | None = None) -> None:
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def _dialog(self, button: str, final: str, **fields: str) -> None:
        """Open the dialog behind a button, fill in its fields, and go."""
        self._press(button)
        dialog = self.page.locator("dialog[open]")
        for name, value in fields.items():
            field = dialog.locator(f"[name={name}]")
            if field.evaluate("each => each.tagName") == "SELECT":
                value = str(field.locator("option").filter(has_text=value).first.get_attribute("value"))
                field.select_option(value)
            else:
                field.fill(value)
        confirm = dialog.locator("[data-confirm-name]")
        if confirm.count():
            confirm.fill(str(confirm.get_attribute("data-confirm-name")))
        self._press(final, dialog)

    def _tick(self, box: Locator, *, on: bool = True) -> None:
        """By its label, as most people do: of some only that is seen."""
        if box.is_checked() != on:
            box.locator("xpath=ancestor::label").click()

    def _thing(self, of: str, name: str) -> Page:
        """Its page, by way of the list."""
        self._open(of).get_by_role("link", name=name, exact=True).first.click()
        self.page.wait_for_url(re.compile(rf"/{of}/[0-9a-f-]{{36}}$"))
        return self.page

    def _shows(self, where: str, word: str) -> None:
        expect(self.page.locator(where)).to_contain_text(word)

    def _created(self) -> None:
        """The form has led on to what it made."""
        self.page.wait_for_url(lambda url: not url.endswith("/new"))

    def key(self, name: str, public: str) -> None:
        page = self._open("keypairs/new")
        page.locator("[name=name]").fill(name)
        self._tick(page.locator("[name=source][value=import]"))
        page.locator("[name=public_key]").fill(public)
        self._press("Create key pair")
        self._created()

    def group(self, name: str) -> None:
        page = self._open("security-groups/new")
        page.locator("[name=name]").fill(name)
        self._press("Create group")
        self._created()
        page.locator("[name=direction]").select_option("ingress")
        page.locator("[name=protocol]").select_option("tcp")
        page.locator("[name=port_min]").fill("22")
        page.locator("[name=remote]").select_option("any")
        self._press("Add rule")
        expect(page.get_by_role("table").first).to_contain_text("22")

    def network(self, name: str) -> None:
        page = self._open("networks/new")
        page.locator("[name=name]").fill(name)
        self._press("Create network")
        self._created()

    def image(self, name: str, vmdk: Path) -> None:
        self._bucket(f"{name}-bucket")
        page = self._open(f"buckets/{name}-bucket/o")
        page.set_input_files("#ob-files", vmdk)
        expect(page.locator("#tray li").filter(has_text=vmdk.name)).to_contain_text("Checksum agrees")
        page = self._open("images/new")
        page.locator("[name=name]").fill(name)
        page.locator("[name=of]").select_option("object")
        page.locator("[name=bucket]").select_option(f"{name}-bucket")
        page.locator("[name=key]").fill(vmdk.name)
        self._press("Make it")
        self._created()
        self._shows("#im-head", "Ready")
        self._lose_bucket(f"{name}-bucket")

    def _bucket(self, name: str) -> None:
        page = self._open("buckets/new")
        page.locator("[name=name]").fill(name)
        self._press("Create bucket")
        self._created()

    def _lose_bucket(self, name: str) -> None:
        page = self._open(f"buckets/{name}/settings")
        self._dialog("Empty", f"Empty {name}")
        delete = page.get_by_role("button", name="Delete", exact=True)
        expect(delete).not_to_have_attribute("aria-disabled", "true")
        self._dialog("Delete", f"Delete {name}")
        self.page.wait_for_url("**/buckets")

    def launch(self, name: str, *, image: str, size: str, networks: Sequence[str], key: str, group: str) -> None:
        page = self._open("instances/new")
        page.locator("input[name=name]").fill(name)
        self._tick(page.locator(".cb-pick label").filter(has_text=image).locator("[name=image]"))
        self._tick(page.locator(f"[name=size][data-name='{size}']"))
        for box in page.locator("[name=network]").all():
            self._tick(box, on=box.get_attribute("data-name") in networks)
        for box in page.locator("[name=group]").all():
            self._tick(box, on=box.get_attribute("data-name") == group)
        page.locator("[name=key]").select_option(label=f"{key} (ed25519)")
        page.get_by_role("button", name=f"Launch {name}").first.click()
        page.wait_for_selector(f"[data-status=running][data-name='{name}']")

    def reach(self, name: str) -> str:
        self._open("floating-ips/new")
        self._press("Take it")
        self.page.wait_for_url(re.compile(r"/floating-ips/[0-9a-f-]{36}$"))
        self._dialog("Give to an instance", "Give it", port_id=f"{name}, 10.20.")
        self._shows("[aria-label=Properties]", name)
        return self.page.locator("h1").inner_text().strip()

    def _serial(self) -> str:
        line = self.page.locator("#vo-props div").filter(has_text="Serial in the guest")
        return str(line.locator("[data-copy]").get_attribute("data-copy"))

    def volume(self, name: str, gib: int) -> str:
        page = self._open("volumes/new")
        page.locator("[name=name]").fill(name)
        page.locator("[name=size_gib]").fill(str(gib))
        self._press("Create volume")
        self._created()
        self._shows("#vo-head", "Available")
        return self._serial()

    def attach(self, volume: str, instance: str) -> None:
        self._thing("volumes", volume)
        self._dialog("Attach", "Attach", instance_id=instance)
        self._shows("#vo-head", "Attached")

    def detach(self, volume: str) -> None:
        self._thing("volumes", volume)
        self._dialog("Detach", "Detach")
        self._shows("#vo-head", "Available")

    def snapshot(self, volume: str, name: str) -> None:
        self._thing("volumes", volume)
        self._dialog("Take a snapshot", "Take it", name=name)
        expect(self.page.locator("#vo-snapshots li").filter(has_text=name)).to_contain_text("Ready")

    def grow(self, volume: str, gib: int) -> None:
        self._thing("volumes", volume)
        self._dialog("Grow", "Grow", size_gib=str(gib))
        self._shows("#vo-props", f"{gib} GiB")
        self._shows("#vo-head", "Attached")

    def backup(self, volume: str) -> None:
        self._bucket(f"{volume}-kept")
        page = self._open("backup-vaults/new")
        page.locator("[name=name]").fill(volume)
        page.locator("[name=bucket]").select_option(f"{volume}-kept")
        self._press("Add the vault")
        self.page.get_by_role("link", name="I have saved it").click()
        self._thing("volumes", volume)
        self._press("Back up now")
        self.page.wait_for_url(re.compile(r"/backups/[0-9a-f-]{36}$"))
        self._shows("#bk-head", "Ready")
        self._dialog("Rename", "Rename", name=volume)

    def lose(self, volume: str) -> None:
        self._thing("volumes", volume)
        self._dialog("Delete", f"Delete {volume}")
        self._goes("volumes", volume)

    def _goes(self, of: str, name: str) -> None:
        expect(self._open(of).get_by_role("link", name=name, exact=True)).to_have_count(0)

    def restore(self, volume: str, name: str) -> str:
        self._thing("backups", volume)
        self.page.get_by_role("link", name="Restore", exact=True).click()
        self._tick(self.page.locator("[name=how][value=volume]"))
        self.page.locator("[name=name]").fill(name)
        self._press("Restore")
        self.page.wait_for_url(re.compile(r"/volumes/[0-9a-f-]{36}$"))
        self._shows("#vo-head", "Available")
        return self._serial()

    def _change(self, instance: str, button: str, card: str) -> None:
        self._thing("instances", instance)
        self.page.goto(f"{self.page.url}/change")
        self._press(button, self.page.locator(card))

    def _is(self, status: str) -> None:
        self.page.wait_for_selector(f"[data-status={status}]")

    def resize(self, instance: str, size: str) -> None:
        self._thing("instances", instance)
        self.page.goto(f"{self.page.url}/change")
        self._tick(self.page.locator(".cb-pick label").filter(has_text=size).locator("[name=flavor_id]"))
        self._press(f"Resize {instance}")
        window = self.page.locator("#window-resize")
        window.get_by_role("button", name="Keep the new size").click()
        ask = self.page.locator("[popover]:popover-open")
        if ask.count():
            ask.locator("[type=submit]").click()
        expect(window).to_have_count(0)
        self._is("running")

    def rebuild(self, instance: str) -> None:
        self._thing("instances", instance)
        self.page.goto(f"{self.page.url}/change")
        self._tick(self.page.locator("[name=keep]"), on=False)
        self._press(f"Rebuild {instance}")
        self._settled("rebuilding")

    def _settled(self, moving: str) -> None:
        """The page that said that it is under way says that it runs. (It may have been done before the page was there.)"""
        expect(self.page.locator(f"[data-status={moving}]")).to_have_count(0)
        self._is("running")

    def rescue(self, instance: str) -> None:
        self._change(instance, f"Rescue {instance}", "#rescue")
        self.page.wait_for_selector("#window-rescue")
        self._settled("rescuing")

    def unrescue(self, instance: str) -> None:
        self._change(instance, "Leave rescue", "#rescue")
        expect(self.page.locator("#window-rescue")).to_have_count(0)
        self._settled("rescuing")

    def shelve(self, instance: str) -> None:
        self._change(instance, "Shelve", "#shelf")
        self._is("shelved")

    def unshelve(self, instance: str) -> None:
        self._change(instance, "Unshelve", "#shelf")
        self._is("running")

    def console(self, instance: str) -> str:
        self._thing("instances", instance)
        self.page.goto(f"{self.page.url}/log")
        return self.page.locator("main").inner_text()

    def clean(self, name: str) -> None:
        self._thing("instances", name)
        self.page.goto(f"{self.page.url}/settings")
        self.page.locator("[data-confirm-name]").fill(name)
        self._press(f"Delete {name}")
        self.page.wait_for_url("**/instances**")
        self._goes("instances", name)
        self._open("floating-ips").locator("tbody a").first.click()
        self._dialog("Give back", "Give back")
        self.lose(f"{name}-again")
        self._thing("backups", f"{name}-data")
        self._dialog("Delete", "Delete it")
        self._goes("backups", f"{name}-data")
        self._thing("backup-vaults", f"{name}-data")
        self._dialog("Forget", "Forget it")
        self._lose_bucket(f"{name}-data-kept")
        self._thing("images", f"{name}-image")
        self._dialog("Delete", f"Delete {name}-image")
        self._remove("networks", f"second-{name}")
        self._remove("security-groups", name, at="/settings", button="Delete group")
        self._remove("keypairs", name)

    def _remove(self, of: str, name: str, *, at: str = "", button: str = "Delete") -> None:
        self._thing(of, name)
        if at:
            self.page.goto(f"{self.page.url}{at}")
        self._dialog(button, f"Delete {name}")
        self._goes(of, name)


@contextmanager
def portal(box: WholeBox, folder: Path) -> Iterator[Portal]:
    url = str(box.status()["url"])
    password = box.admin_password()
    site = Site(url=url, people={"admin": ("admin@cloudbox.local", password)}, is_real=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        tab = watched(browser.new_context(viewport=WIDE))
        try:
            sign_in(tab.page, site, "admin")
            yield Portal(tab.page, url)
            assert not tab.complaints()
        except BaseException:
            tab.page.screenshot(path=folder / "failed.png", full_page=True)
            print(f"at {tab.page.url}, see {folder / 'failed.png'}")
            raise
        finally:
            browser.close()
