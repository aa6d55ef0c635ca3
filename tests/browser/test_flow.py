"""Shows the main job as a person does it: launch, watch it come up without a reload, type in its console, stop, start, delete.

Against our own box with fake machines; or against a real one, named by CLOUDBOX_BOX_URL, CLOUDBOX_BOX_EMAIL and
CLOUDBOX_BOX_PASSWORD, with the demo image inside: then the shell calculates, and the screen shows a picture.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import WIDE, Tab, sign_in, watched
from tests.browser.site import Site

pytestmark = pytest.mark.browser

# Kept by the page itself: a reload would lose both.
REMEMBER = """() => {
  window.neverReloaded = true;
  const head = () => document.querySelector("[data-status]")?.dataset.status;
  window.statuses = [head()];
  new MutationObserver(() => { if (head() && head() !== window.statuses.at(-1)) window.statuses.push(head()); })
    .observe(document.body, { subtree: true, childList: true, attributes: true });
}"""
TERMINAL = ".xterm-rows, .xterm-accessibility-tree"
COLOURS = """() => {
  const canvas = document.querySelector("#console-body canvas");
  if (!canvas || !canvas.width) return 0;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
  for (let at = 0; at < data.length && seen.size < 9; at += 4) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  return seen.size;
}"""


@pytest.mark.slow
def test_from_launch_to_delete(site: Site, chromium: object, screens: Path | None) -> None:
    patience = 180_000 if site.is_real else 30_000
    context = chromium.new_context(viewport=WIDE)  # type: ignore[attr-defined]
    try:
        tab = watched(context)
        page = tab.page
        page.set_default_timeout(patience)
        sign_in(page, site, "admin")
        name = f"flow-{secrets.token_hex(3)}"
        _launch(page, site, name)
        _console(page, site, patience, screens)
        _power(page, patience)
        _delete(page, name, patience)
        assert not tab.complaints()
    except BaseException:
        if screens is not None:
            page.screenshot(path=screens / "flow-failed.png")
        raise
    finally:
        context.close()


def _launch(page: Page, site: Site, name: str) -> None:
    """From the form to Running; the page that said Building is the one that says Running."""
    page.goto(f"{site.url}/p/demo/instances/new")
    page.locator("input[name=name]").fill(name)
    expect(page.get_by_role("button", name=f"Launch {name}").first).to_be_visible()
    with site.held():
        page.get_by_role("button", name=f"Launch {name}").first.click()
        page.wait_for_selector(f"[data-status][data-name='{name}']")
        page.evaluate(REMEMBER)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Building")
    page.wait_for_selector("[data-status=running], [data-status=error]")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Running")
    assert page.evaluate("window.neverReloaded") is True
    statuses = page.evaluate("window.statuses")
    assert (statuses[0], statuses[-1]) == ("building", "running"), statuses


def _tab(page: Page, name: str, last: str) -> None:
    page.locator(".cb-tabs").get_by_role("link", name=name).click()
    page.wait_for_url(re.compile(rf"/instances/[0-9a-f-]{{36}}{'/' + last if last else ''}$"))


def _console(page: Page, site: Site, patience: int, screens: Path | None) -> None:
    """Type a line and read the answer; on a real machine the shell must have calculated it."""
    _tab(page, "Console", "console")
    page.wait_for_selector(".xterm")
    expect(page.locator("#console-state")).to_contain_text("Connected")
    typed, answer = ("echo is $((6*7)) now", "is 42 now") if site.is_real else ("echo the guest answers", "the guest answers")
    deadline = time.monotonic() + patience / 1000
    page.locator(".xterm-helper-textarea").focus()
    while True:  # a real guest boots meanwhile, and hears only from its prompt on
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        page.wait_for_timeout(1500)
        lines = page.locator(".xterm-rows").first.inner_text().replace("\xa0", " ").splitlines()
        if any(line.strip() == answer for line in lines):
            break
        assert time.monotonic() < deadline, lines[-12:]
    if screens is not None:
        page.screenshot(path=screens / "flow-console.png")
    if site.is_real:
        _screen(page, patience, screens)


def _screen(page: Page, patience: int, screens: Path | None) -> None:
    page.locator("[data-view=vnc]").click()
    page.wait_for_selector("#console-body canvas")
    deadline = time.monotonic() + patience / 1000
    while page.evaluate(COLOURS) < 2:
        assert time.monotonic() < deadline, "the screen stays of one colour"
        page.wait_for_timeout(500)
    if screens is not None:
        page.screenshot(path=screens / "flow-screen.png")


def _power(page: Page, patience: int) -> None:
    """Stop asks first; Start does not. Both are watched, not reloaded."""
    _tab(page, "Overview", "")
    page.wait_for_selector("[data-status=running]")
    page.evaluate(REMEMBER)
    page.locator("#b-stop").click()
    page.locator("#ask-stop [type=submit]").click()
    page.wait_for_selector("[data-status=stopped]")
    page.locator("#b-start, #b-start button").last.click()
    page.wait_for_selector("[data-status=running]")


def _delete(page: Page, name: str, patience: int) -> None:
    """The button does nothing until the name is typed; then the row goes."""
    page.goto(f"{page.url.partition('?')[0].removesuffix('/settings')}/settings")
    button = page.get_by_role("button", name=f"Delete {name}")
    expect(button).to_have_attribute("aria-disabled", "true")
    page.locator("[data-confirm-name]").fill(name)
    button.click()
    page.wait_for_url("**/instances**")
    page.goto(f"{page.url.partition('/instances')[0]}/instances")
    deadline = time.monotonic() + patience / 1000
    while page.get_by_role("link", name=name, exact=True).count():
        assert time.monotonic() < deadline, f"{name} is still listed"
        page.wait_for_timeout(500)


def test_admin_types_a_name_to_delete(own_site: Site, open_tab: Callable[..., Tab]) -> None:
    """The console's own list: the dialog's button is off until the name is right, also after a live refresh."""
    tab = open_tab(own_site, "admin")
    page = tab.page
    page.goto(f"{own_site.url}/admin/instances?q=batch-7")
    page.wait_for_timeout(5500)  # one refresh has swapped the rows
    for _ in range(5):  # a refresh may swap the row under the pointer
        page.get_by_role("button", name="Delete batch-7").first.click()
        page.wait_for_timeout(500)
        if page.get_by_role("dialog").is_visible():
            break
    button = page.get_by_role("dialog").get_by_role("button", name="Delete batch-7")
    expect(button).to_have_attribute("aria-disabled", "true")
    page.get_by_role("dialog").get_by_role("textbox").fill("batch-7")
    expect(button).not_to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Escape")
    assert not tab.complaints()
