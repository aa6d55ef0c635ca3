"""A site for the whole run, one Chromium, and pages that keep what went wrong in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.site import Site, given, own

CHROMIUM = os.environ.get("CLOUDBOX_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# What a page shows by itself it shows within a blink; a machine that runs guests beside it may take longer.
expect.set_options(timeout=20_000)
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
VIOLATIONS = """
  window.cspViolations = [];
  document.addEventListener("securitypolicyviolation", (event) =>
    window.cspViolations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


@pytest.fixture(scope="session")
def own_site() -> Iterator[Site]:
    """A box with fake machines, made for these tests, with things in every state."""
    with own() as site:
        yield site


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Site:
    """The box that CLOUDBOX_BOX_URL, _EMAIL and _PASSWORD name, with real machines; without them, our own."""
    return given() or request.getfixturevalue("own_site")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, and what its console said that it should not have."""

    page: Page
    said: list[str] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """Console errors, uncaught errors and CSP violations since the last call."""
        found = [*self.said, *self.page.evaluate("window.cspViolations ?? []")]
        self.said.clear()
        return found


def sign_in(page: Page, site: Site, who: str) -> None:
    """As a person does: by the page."""
    email, password = site.people[who]
    page.goto(f"{site.url}/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def watched(context: BrowserContext) -> Tab:
    context.add_init_script(VIOLATIONS)
    tab = Tab(context.new_page())

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            tab.said.append(f"console: {message.text}")

    tab.page.on("console", heard)
    tab.page.on("pageerror", lambda error: tab.said.append(f"uncaught: {error}"))
    return tab


@pytest.fixture(scope="session")
def states(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Site, str], Any]:
    """What a browser of that person keeps after signing in; signing in once is enough for all pages."""
    kept: dict[tuple[str, str], Any] = {}

    def state(site: Site, who: str) -> Any:
        if not who:
            return None
        if (site.url, who) not in kept:
            context = chromium.new_context()
            sign_in(context.new_page(), site, who)
            kept[site.url, who] = context.storage_state()
            context.close()
        return kept[site.url, who]

    return state


@pytest.fixture
def open_tab(chromium: Browser, states: Callable[[Site, str], Any]) -> Iterator[Callable[..., Tab]]:
    """`open_tab(site, "bob")`: a page of a browser in which Bob is signed in; "" is a stranger."""
    with ExitStack() as stack:

        def open_(site: Site, who: str = "", **options: Any) -> Tab:
            context = chromium.new_context(**({"viewport": WIDE, "storage_state": states(site, who)} | options))
            stack.callback(context.close)
            return watched(context)

        yield open_


@pytest.fixture(scope="session")
def screens() -> Path | None:
    """Where pictures of the pages go, when somebody wants to look at them."""
    folder = os.environ.get("CLOUDBOX_SCREENS", "")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)
