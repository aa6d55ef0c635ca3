"""Shows the rules that every page keeps: nothing that the CSP would block, colours that can be read, and a weight below the budget."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from django.test import Client

from compute import address_groups, floating_ips, image_catalogue, keypairs, ports, security_groups, snapshots, snippets, volumes, vpn
from tests.browser.pages import PAGES
from tests.browser.pages import Page as Case
from tests.operations import backup_things, balancer_things, store_drive
from tests.world import World, work

ROOT = Path(django_settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "dashboard" / "templates").rglob("*.html"))
# Data for scripts to read is no script.
DATA = {"application/json", "text/plain"}
CSS_BYTES_MAX, JS_BYTES_MAX, HTML_BYTES_MAX = 100_000, 50_000, 25_000
# Weighed apart: loaded only by the pages that show a console or a chart.
HEAVY = {"vendor/uplot": 25_000, "vendor/xterm": 125_000, "vendor/novnc": 130_000}


class _Checker(HTMLParser):
    """Collects what a strict CSP forbids, and the files that the page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.css: list[str] = []
        self.js: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        where = f"line {self.getpos()[0]}: <{tag}>"
        for name, value in attrs:
            if name == "style":
                self.wrong.append(f"{where} has a style attribute")
            if re.fullmatch(r"on[a-z]+", name):
                self.wrong.append(f"{where} has the handler {name}")
            if value and value.strip().lower().startswith("javascript:"):
                self.wrong.append(f"{where} has a javascript: address")
        if tag == "style":
            self.wrong.append(f"{where} is an inline style")
        if tag == "script" and "src" not in found and found.get("type") not in DATA:
            self.wrong.append(f"{where} is an inline script")
        if tag == "script" and found.get("src"):
            self.js.append(str(found["src"]))
        if tag == "link" and found.get("rel") == "stylesheet":
            self.css.append(str(found["href"]))
        if found.get("id"):
            self.ids.append(str(found["id"]))


def _check(text: str) -> _Checker:
    checker = _Checker()
    checker.feed(text)
    return checker


# --- what a CSP of 'self' blocks


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "dashboard" / "templates")))
def test_templates_hold_nothing_inline(path: Path) -> None:
    without_tags = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", path.read_text(), flags=re.S)
    assert not _check(without_tags).wrong


@pytest.mark.slow
def test_pages_hold_nothing_inline_and_stay_small(world: World, subtests: pytest.Subtests) -> None:
    """Rendered, as templates could not be judged alone: tags and widgets write markup too. One world serves all pages."""
    things = _things(world)
    clients = {who: Client() for who in ("", *world.users)}
    for who, user in world.users.items():
        clients[who].force_login(user)
    for case in PAGES:
        with subtests.test(page=case.name):
            _page(case, clients[{"bob": "member", "nobody": "stranger"}.get(case.who, case.who)], things)


def _page(case: Case, client: Client, things: dict[str, str]) -> None:
    path = case.path.format(**things).replace("/p/demo", "/p/shop").replace("projects/demo", "projects/shop")
    response = client.get(path, follow=True)
    assert response.status_code < 500
    checker = _check(response.content.decode())
    assert not checker.wrong
    assert len(set(checker.ids)) == len(checker.ids), sorted({id for id in checker.ids if checker.ids.count(id) > 1})
    assert len(gzip.compress(response.content)) <= HTML_BYTES_MAX
    assert _weight(checker.css, heavy=False) <= CSS_BYTES_MAX
    assert _weight(_modules(checker.js), heavy=False) <= JS_BYTES_MAX


def _things(world: World) -> dict[str, str]:
    owner = world.ctx("owner")
    instance = world.running(name="web-1")
    group = security_groups.list(owner).first()
    keypair, _ = keypairs.create(owner, name="laptop")
    made: dict[str, object] = {"web": instance, "db": instance, "failed": instance, "image": world.image, "network": world.network}
    made["own_image"] = world.image
    made["port"] = ports.reserve(owner, network_id=world.network.id)
    made["addresses"] = address_groups.create(owner, name="offices", cidrs=["203.0.113.0/24"])
    volume = volumes.create(owner, name="data", size_gib=1)
    made["volume"], made["free"], made["volume_type"] = volume, volume, volume.type
    work(volume.id)
    made["entry"] = image_catalogue.list(world.box())[0]
    made["snapshot"] = snapshots.create(owner, volume_id=volume.id, name="monday")
    ids = {name: str(thing.id) for name, thing in made.items()}  # type: ignore[attr-defined]
    assert group is not None
    return (
        ids
        | {"peer": str(vpn.create(owner, name="p", network_id=world.network.id)[0].id)}
        | {"snippet": str(snippets.create(owner, name="s", content="#cloud-config\n").id), "shipped": str(snippets.shipped(owner)[0].id)}
        | {"group": str(group.id), "keypair": str(keypair.id), "user_bob": str(world.users["member"].id), "broken": str(uuid4())}
        | {"drive": str(store_drive().id), "router": str(world.network.router_id), "floating": str(floating_ips.allocate(owner).id)}
        | _backups(world, made["volume"])
        | _balancer(world, instance)
    )


def _balancer(world: World, instance: object) -> dict[str, str]:
    things = balancer_things(world, instance)
    return {"balancer": str(things["load-balancers"]), "pool": str(things["pools"]), "listener": str(things["listeners"])}


def _backups(world: World, volume: object) -> dict[str, str]:
    things = backup_things(world, volume)
    nouns = {"backup": "backups", "files": "backups", "vault": "backup-vaults", "schedule": "backup-schedules"}
    return {noun: str(things[key]) for noun, key in nouns.items()}


# --- weight


def _source(url: str) -> Path | None:
    found = finders.find(url.removeprefix(django_settings.STATIC_URL))
    return Path(str(found)) if found else None


def _modules(urls: list[str]) -> list[str]:
    """The modules of a page with all that they import, each once."""
    seen: list[str] = []
    todo = [url.removeprefix(django_settings.STATIC_URL) for url in urls]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.append(name)
        source = _source(name)
        assert source is not None, f"{name} is loaded and is not there"
        if not any(name.startswith(prefix) for prefix in HEAVY):
            todo += list(_imports(name, source.read_text()))
    return seen


def _imports(name: str, text: str) -> Iterator[str]:
    """Static imports; what is imported on demand is weighed where it is demanded."""
    for found in re.findall(r"""^\s*(?:import|export)\s[^"'()]*?["'](\.[^"']+)["']""", text, re.M):
        yield str((Path("/") / name).parent.joinpath(found).resolve().relative_to("/"))


def _weight(names: list[str], *, heavy: bool) -> int:
    total = 0
    for name in names:
        name = name.removeprefix(django_settings.STATIC_URL)
        if any(name.startswith(prefix) for prefix in HEAVY) == heavy:
            source = _source(name)
            assert source is not None, f"{name} is loaded and is not there"
            total += len(gzip.compress(source.read_bytes()))
    return total


@pytest.mark.parametrize(("prefix", "limit"), HEAVY.items())
def test_heavy_packages_keep_their_budget(prefix: str, limit: int) -> None:
    files = {"vendor/uplot": ["uPlot.iife.min.js"], "vendor/xterm": ["lib/xterm.mjs"], "vendor/novnc": []}[prefix]
    found = [path for name in files for path in [_source(f"{prefix}/{name}")] if path]
    if prefix == "vendor/novnc":
        core = _source("vendor/novnc/core/rfb.js")
        assert core is not None
        found = [path for path in core.parent.rglob("*.js") if "crypto" not in path.parts]
    assert found
    assert sum(len(gzip.compress(path.read_bytes())) for path in found) <= limit


# --- colours


def _themes() -> dict[str, dict[str, str]]:
    """The tokens of both themes, as tokens.css writes them; dark inherits what it does not say."""
    text = (ROOT / "static" / "css" / "tokens.css").read_text()

    def block(selector: str) -> dict[str, str]:
        body = text.partition(f"{selector} {{")[2].partition("}")[0]
        return dict(re.findall(r"--([a-z0-9-]+):\s*(#[0-9a-f]{6})\b", body))

    light = block(":root")
    return {"light": light, "dark": light | block('[data-bs-theme="dark"]')}


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_wcag_s() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


TEXT = [
    *((text, ground) for text in ("ink", "ink-2", "ink-3") for ground in ("surface", "paper", "sunken", "hover")),
    *((text, ground) for text in ("accent", "accent-ink") for ground in ("surface", "paper", "accent-soft")),
    *((text, ground) for text in ("ok", "warn", "bad") for ground in ("surface", "paper", f"{text}-soft")),
    ("off", "surface"),
    ("off", "off-soft"),
    ("on-solid", "solid"),
    ("on-solid", "solid-hover"),
    *((text, "term") for text in ("term-ink", "term-dim", "term-ok", "term-warn", "term-blue")),
]
GRAPHICS = [
    *((fill, "surface") for fill in ("ok-fill", "warn-fill", "bad-fill", "fill", "accent", "s1", "s2", "s3", "s4")),
    ("control", "surface"),
    ("control", "paper"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_text_can_be_read(theme: str, text: str, ground: str) -> None:
    tokens = _themes()[theme]
    assert contrast(tokens[text], tokens[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("fill", "ground"), GRAPHICS)
def test_graphics_can_be_seen(theme: str, fill: str, ground: str) -> None:
    tokens = _themes()[theme]
    assert contrast(tokens[fill], tokens[ground]) >= 3


def test_only_the_tokens_write_raw_colours() -> None:
    """The terminal's own greys aside, which are the same in both themes."""
    allowed = {"#1c1e24", "#2b2d34", "#24262d", "#2b2d35", "#34363f", "#a5a7b1", "#fff", "#98a6ff"}
    wrong = {}
    for path in (ROOT / "static" / "css").glob("*.css"):
        if path.name not in ("tokens.css", "pages.css"):
            found = set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*\})", path.read_text())) - allowed
            if found:
                wrong[path.name] = found
    assert not wrong
