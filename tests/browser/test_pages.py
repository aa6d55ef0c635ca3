"""Shows that every page is sound: axe finds nothing in either theme at either width, nothing scrolls sideways, no script complains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from tests.browser.conftest import PHONE, WIDE, Tab
from tests.browser.pages import NOT_PAGES, PAGES
from tests.browser.pages import Page as Case
from tests.browser.site import CHECKOUT, Site

AXE = CHECKOUT / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = (("light", WIDE), ("dark", WIDE), ("dark", PHONE), ("light", PHONE))
# What programs talk to has no pages.
DIALECTS = ("api/", "identity", "auth/", "compute", "image", "network", "volume/", "placement")
NARROWEST = {"width": 320, "height": 720}
RUN_AXE = """() => axe.run(document, { resultTypes: ["violations"] }).then((found) => found.violations.map((violation) =>
  `${violation.id} (${violation.impact}): ` + violation.nodes.map((node) => node.target.join(" ")).join(", ")))"""
# Two frames, and all transitions over: what was resized has settled.
SETTLE = """async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  const moving = document.getAnimations().filter((animation) => animation.effect.getTiming().iterations !== Infinity);
  await Promise.allSettled(moving.map((animation) => animation.finished));
}"""
OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth, page = document.documentElement.scrollWidth;
  if (page <= wide) return "";
  const out = [...document.querySelectorAll("body *")]
    .filter((e) => e.getBoundingClientRect().right > wide + 1 && !e.closest(".cb-scroll, .cb-tabs, pre"));
  return `${page} > ${wide}: ` + out.slice(0, 4).map((e) => e.tagName + "." + e.className).join(", ");
}"""


@pytest.mark.browser
@pytest.mark.parametrize("case", PAGES, ids=lambda case: case.name)
def test_page(case: Case, own_site: Site, open_tab: Callable[..., Tab], screens: Path | None) -> None:
    tab = open_tab(own_site, case.who)
    wrong: list[str] = []
    loaded = None
    for theme, size in LOOKS:
        look = f"{theme} {size['width']}"
        _look(tab, theme, size)
        if size is not loaded:
            _open(tab, case, own_site)
            loaded = size
        tab.page.wait_for_function("(theme) => document.documentElement.dataset.bsTheme === theme", arg=theme)
        tab.page.evaluate(SETTLE)
        wrong += [f"{look}: {line}" for line in _axe(tab)]
        wrong += [f"{look}: {line}" for line in tab.complaints() if not any(part in line for part in case.says)]
        if said := tab.page.evaluate(OVERFLOW):
            wrong.append(f"{look}: scrolls sideways: {said}")
        if screens is not None and look != "dark 390":
            name = "phone" if size is PHONE else theme
            tab.page.screenshot(path=screens / f"{case.name}-{name}.png", full_page=True)
    tab.page.set_viewport_size(NARROWEST)  # type: ignore[arg-type]
    tab.page.evaluate(SETTLE)
    if said := tab.page.evaluate(OVERFLOW):
        wrong.append(f"320: scrolls sideways: {said}")
    assert not wrong, "\n".join(wrong)


def _look(tab: Tab, theme: str, size: dict[str, int]) -> None:
    tab.page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    tab.page.set_viewport_size(size)  # type: ignore[arg-type]


def _open(tab: Tab, case: Case, site: Site) -> None:
    answer = tab.page.goto(site.url + case.path.format(**site.things))
    assert answer is not None
    assert answer.status == case.status
    tab.page.wait_for_load_state("load")
    tab.page.evaluate("document.fonts.ready")
    if case.ready:
        tab.page.wait_for_selector(case.ready)


def _axe(tab: Tab) -> list[str]:
    tab.page.evaluate(AXE.read_text())
    found: list[str] = tab.page.evaluate(RUN_AXE)
    return found


@pytest.mark.browser
@pytest.mark.parametrize("who", ["admin", "support"])
def test_dialogs_and_menus_are_sound(who: str, own_site: Site, open_tab: Callable[..., Tab]) -> None:
    """What opens over a page is looked at as well: menu, palette, keys, and a confirmation."""
    tab = open_tab(own_site, who)
    tab.page.goto(f"{own_site.url}/admin/flavors")
    for opener in ("[data-palette='']", "[data-open=keys]", "[popovertarget=account-menu]", "main [data-open]"):
        button = tab.page.locator(opener).first
        if not button.count():
            assert who == "support"
            continue
        button.click()
        tab.page.wait_for_timeout(250)
        assert not _axe(tab), opener
        tab.page.keyboard.press("Escape")
    assert not tab.complaints()


def test_every_route_is_here(settings: Any) -> None:
    """A route is looked at by the browser, or said to be no page; and what is said to be no page is a route."""
    routes = {route for route in _routes(get_resolver()) if not (route.lstrip("^") + "/").startswith(DIALECTS)}
    seen = {resolve(case.path.partition("?")[0].format_map(_AnyId())).route for case in PAGES}
    assert routes - seen - NOT_PAGES == set()
    assert NOT_PAGES - routes == set()


class _AnyId(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "00000000-0000-4000-8000-000000000000"


def _routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for part in resolver.url_patterns:
        here = before + str(part.pattern)
        if isinstance(part, URLPattern):
            yield here
        else:
            yield from _routes(part, here)
