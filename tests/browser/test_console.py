"""Shows what a console's page keeps to itself: nothing is answered to a replayed log, and who watches sends nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab
from tests.browser.site import Site

pytestmark = pytest.mark.browser

# Counts what goes to the machine.
RECORD = """
  window.sent = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (this.url.includes("/console/")) window.sent.push(typeof data === "string" ? data : String.fromCharCode(...new Uint8Array(data)));
    return send.call(this, data);
  };
"""
# The guest says "MARK", and asks the terminal where its cursor is (ECMA-48, device status report).
ASK = """async () => {
  const box = document.getElementById("console"), data = new FormData();
  data.set("kind", "serial");
  const answer = await fetch(box.dataset.openUrl, { method: "POST", body: data, headers: { "X-CSRFToken": document.body.dataset.csrf } });
  const socket = new WebSocket(location.origin.replace("http", "ws") + (await answer.json()).path);
  await new Promise((done) => { socket.onopen = done; });
  socket.send(new TextEncoder().encode("echo MARK\\x1b[6n\\r"));
  await new Promise((done) => setTimeout(done, 500));
  socket.close();
}"""


def test_a_replayed_log_is_not_answered(own_site: Site, open_tab: Callable[..., Tab]) -> None:
    address = f"{own_site.url}/p/demo/instances/{own_site.things['web']}/console"
    page = open_tab(own_site, "admin").page
    page.goto(address)
    expect(page.locator("#console-state")).to_contain_text("Connected")
    page.evaluate(ASK)
    assert "MARK\x1b[6n" in page.request.get(address.removesuffix("console") + "log.txt").text()
    again = open_tab(own_site, "admin").page
    again.add_init_script(RECORD)
    again.goto(address)
    expect(again.locator("#console-body")).to_contain_text("MARK")
    expect(again.locator("#console-more")).to_have_text("2 people watch")
    again.wait_for_timeout(300)
    assert again.evaluate("window.sent") == []
    again.locator("#console-body textarea").press("x")
    again.wait_for_function("window.sent.join('') === 'x'")
    page.close()
    expect(again.locator("#console-more")).to_have_text("")


def test_who_watches_sends_nothing(own_site: Site, open_tab: Callable[..., Tab]) -> None:
    """A reader's page opens to watch by itself, shows the line, and keeps every key."""
    tab = open_tab(own_site, "reader")
    page = tab.page
    page.add_init_script(RECORD)
    page.goto(f"{own_site.url}/p/demo/instances/{own_site.things['web']}/console")
    expect(page.locator("#console-state")).to_contain_text("Watching only")
    expect(page.locator("#console-body")).to_contain_text("login")
    page.locator("#console-body textarea").press("x")
    page.keyboard.type("poweroff")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert page.evaluate("window.sent") == []
    expect(page.get_by_role("button", name="Type")).to_have_attribute("aria-disabled", "true")
    assert not tab.complaints()
