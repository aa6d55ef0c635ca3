"""Shows pages that live: several tabs, a lost connection, a new release, a tab that nobody sees; and the marks in charts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import Tab
from tests.browser.site import Site

pytestmark = pytest.mark.browser

# What a reload would lose.
REMEMBER = "() => { window.neverReloaded = true; }"
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
OpenTab = Callable[..., Tab]


@dataclass
class Wire:
    """Between the page's live socket and the box: can be cut, and told to speak for the box."""

    cut: bool = False
    routes: list[WebSocketRoute] = field(default_factory=list)

    def lay(self, page: Page) -> None:
        page.route_web_socket("**/live", self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        if self.cut:
            route.close(code=4000)
            return
        self.routes.append(route)
        route.connect_to_server()

    def break_off(self) -> None:
        self.cut = True
        for route in self.routes:
            route.close(code=4000)
        self.routes.clear()

    def say(self, message: dict[str, Any]) -> None:
        """As if the box had said it."""
        self.routes[-1].send(json.dumps(message))


def _api(page: Page, site: Site, method: str, path: str, body: dict[str, Any]) -> None:
    """Through the REST API, in the session of the page: no part of the page takes part."""
    token = page.evaluate("document.body.dataset.csrf")
    answer = page.request.fetch(
        f"{site.url}/api/v1{path}", method=method, data=body, headers={"X-CSRFToken": token, "Origin": site.url, "Referer": f"{site.url}/"}
    )
    assert answer.ok, answer.text()


def _rename(page: Page, site: Site, name: str) -> None:
    _api(page, site, "PATCH", f"/projects/demo/instances/{site.things['db']}", {"name": name})


def _open(tab: Tab, site: Site, path: str) -> Page:
    tab.page.goto(site.url + path)
    expect(tab.page.locator("[data-live-mark]").first).to_have_text("Live")
    tab.page.evaluate(REMEMBER)
    return tab.page


@pytest.fixture
def back(own_site: Site, open_tab: OpenTab) -> Any:
    """The name is as it was, for the tests that come after."""
    yield
    page = open_tab(own_site, "bob").page
    page.goto(f"{own_site.url}/p/demo/instances")
    _rename(page, own_site, "db-1")


def test_every_tab_follows(own_site: Site, open_tab: OpenTab, back: None) -> None:
    """A list, an instance, the console's list and its home: one change through the API shows in all of them."""
    db = own_site.things["db"]
    pages = [_open(open_tab(own_site, "bob"), own_site, path) for path in ("/p/demo/instances", f"/p/demo/instances/{db}")]
    pages += [_open(open_tab(own_site, "admin"), own_site, path) for path in ("/admin/instances", "/admin")]
    _rename(pages[0], own_site, "db-seen")
    expect(pages[0].locator(f"#row-{db} a.cb-name")).to_have_text("db-seen")
    expect(pages[1].get_by_role("heading", level=1)).to_contain_text("db-seen")
    expect(pages[2].locator(f"#row-{db} a.cb-name")).to_have_text("db-seen")
    expect(pages[3].locator("#ah-body")).to_contain_text("db-seen")
    assert all(page.evaluate("window.neverReloaded") for page in pages)


def test_a_lost_connection_says_so_and_catches_up(own_site: Site, open_tab: OpenTab, back: None) -> None:
    """The socket goes and stays away: after three seconds the page says so. What happened meanwhile is told when it is back."""
    tab, wire = open_tab(own_site, "bob"), Wire()
    wire.lay(tab.page)
    page = _open(tab, own_site, "/p/demo/instances")
    wire.break_off()
    expect(page.locator("[data-live-mark]").first).to_contain_text("reconnecting", timeout=8000)
    _rename(page, own_site, "db-meanwhile")
    wire.cut = False
    expect(page.locator(f"#row-{own_site.things['db']} a.cb-name")).to_have_text("db-meanwhile", timeout=20_000)
    expect(page.locator("[data-live-mark]").first).to_have_text("Live")
    assert page.evaluate("window.neverReloaded") is True


def test_another_release_loads_the_page_anew(own_site: Site, open_tab: OpenTab) -> None:
    """Not while somebody answers a dialog, though."""
    tab, wire = open_tab(own_site, "admin"), Wire()
    wire.lay(tab.page)
    page = _open(tab, own_site, "/admin/instances?q=batch-7")
    page.get_by_role("button", name="Delete batch-7").click()
    wire.say({"hello": True, "release": "another"})
    page.get_by_role("dialog").get_by_role("textbox").fill("batch-")
    assert page.evaluate("window.neverReloaded") is True
    with page.expect_navigation():
        page.keyboard.press("Escape")
    expect(page.locator("[data-live-mark]").first).to_have_text("Live")


def test_a_dialog_stays_under_its_answer(own_site: Site, open_tab: OpenTab, back: None) -> None:
    """The row changes while its dialog is open: what was typed counts, and the row is right afterwards."""
    db, page = own_site.things["db"], _open(open_tab(own_site, "admin"), own_site, "/admin/instances")
    page.get_by_role("button", name="Delete db-1").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("db-1")
    _rename(page, own_site, "db-other")
    expect(page.locator(f"#row-{db} a.cb-name")).to_have_text("db-other")
    expect(dialog.get_by_role("textbox")).to_have_value("db-1")
    expect(dialog.get_by_role("button", name="Delete db-1")).not_to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Escape")


def test_a_page_that_nobody_sees_fetches_nothing(own_site: Site, open_tab: OpenTab, back: None) -> None:
    """Told to refresh while hidden it waits; it fetches when it is seen again."""
    page = _open(open_tab(own_site, "admin"), own_site, "/admin")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if request.headers.get("x-refresh") else None)
    page.evaluate(HIDE, True)
    _rename(page, own_site, "db-unseen")
    page.wait_for_timeout(2500)
    assert fetched == []
    page.evaluate(HIDE, False)
    expect(page.locator("#ah-body")).to_contain_text("db-unseen")


def test_a_log_counts_what_is_new(own_site: Site, open_tab: OpenTab, back: None) -> None:
    tab = open_tab(own_site, "admin")
    tab.page.goto(f"{own_site.url}/admin/audit")
    tab.page.wait_for_function("performance.getEntriesByType('resource').some((entry) => entry.name.includes('live'))")
    _rename(tab.page, own_site, "db-news")
    news = tab.page.locator("[data-news] a")
    expect(news).to_contain_text("new event")
    news.click()
    expect(tab.page.get_by_role("table")).to_contain_text("db-news")
    assert not tab.complaints()


def test_charts_mark_events(own_site: Site, open_tab: OpenTab) -> None:
    """A pointer at the line reads the sentence; the list under the charts is opened by keyboard."""
    tab = open_tab(own_site, "bob")
    page = tab.page
    page.goto(f"{own_site.url}/p/demo/instances/{own_site.things['web']}/metrics?range=1h")
    page.wait_for_selector(".u-over")
    summary = page.get_by_text("marked in the charts")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".in-marks")).to_contain_text("launched web-1")
    over = page.locator(".u-over").first
    width = over.bounding_box()["width"]  # type: ignore[index]
    at = page.evaluate("Number(document.querySelector('[data-word=launch]').dataset.mark)")
    x = width * (1 - (page.evaluate("Date.now() / 1000") - at) / 3600)
    over.hover(position={"x": min(width - 2, max(1, x)), "y": 40})
    expect(page.locator(".cb-tip").first).to_contain_text("launched web-1")
    assert not tab.complaints()
