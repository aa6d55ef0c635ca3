"""The picture of a project's networks: laid out here, drawn by the template as SVG, and the same as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from compute import topology
from dashboard.shell import page, portal_page
from identity import activity
from identity.context import Context

ROW, GAP, MARGIN = 44, 12, 8
# Left edge and width of each column: outside, routers, networks, cards.
COLUMNS = ((MARGIN, 132), (180, 160), (380, 190), (610, 250))
WIDTH = 868
_CALM = {"running": "is-on", "error": "is-bad", "stopped": "is-off", "shelved": "is-off", "suspended": "is-off", "paused": "is-off"}


@dataclass(frozen=True)
class Box:
    """A rectangle with two lines of text; `href` empty: it leads nowhere."""

    column: int
    y: int
    title: str
    note: str
    href: str = ""
    state: str = ""

    @property
    def x(self) -> int:
        return COLUMNS[self.column][0]

    @property
    def width(self) -> int:
        return COLUMNS[self.column][1]

    @property
    def text_x(self) -> int:
        return self.x + 12

    @property
    def title_y(self) -> int:
        return self.y + 18

    @property
    def note_y(self) -> int:
        return self.y + 34

    @property
    def short(self) -> str:
        """As much of the title as fits; the whole is told to who points at it."""
        most = (self.width - 24) // 8
        return self.title if len(self.title) <= most else self.title[: most - 1] + "…"


@dataclass
class Picture:
    boxes: list[Box] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    height: int = MARGIN
    width: int = WIDTH

    def join(self, left: Box, right: Box) -> None:
        x1, y1, x2, y2 = left.x + left.width, left.y + ROW // 2, right.x, right.y + ROW // 2
        middle = (x1 + x2) // 2
        self.lines.append(f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")


def draw(branches: Any, base: str) -> Picture:
    """Top to bottom in the order of the branches; what has several things to its right stands in their middle."""
    picture = Picture()
    for branch in branches:
        top, networks = picture.height, []
        for segment in branch.segments:
            networks.append(_segment(picture, segment, base))
        if not networks:
            picture.height += ROW + GAP
        middle = (top + picture.height - GAP - ROW) // 2
        if branch.router is None:
            continue
        router = Box(1, middle, branch.router.name, branch.router.external_ip or "no way outside", f"{base}/routers/{branch.router.id}")
        picture.boxes.append(router)
        for network in networks:
            picture.join(router, network)
        if branch.external is not None:
            outside = Box(0, middle, branch.external.name, "SNAT" if branch.router.snat else "no SNAT", state="is-out")
            picture.boxes.append(outside)
            picture.join(outside, router)
    picture.height = max(picture.height - GAP + MARGIN, ROW)
    return picture


def _segment(picture: Picture, segment: Any, base: str) -> Box:
    top, cards = picture.height, []
    for port in segment.ports:
        cards.append(_card(port, picture.height, base))
        picture.height += ROW + GAP
    if segment.more:
        href = f"{base}/networks/{segment.network.id}"
        cards.append(Box(3, picture.height, f"{segment.more} more", "in the table of ports", href))
        picture.height += ROW + GAP
    if not cards:
        picture.height += ROW + GAP
    middle = (top + picture.height - GAP - ROW) // 2
    network = Box(2, middle, segment.network.name, segment.network.cidr, f"{base}/networks/{segment.network.id}")
    picture.boxes += [network, *cards]
    for card in cards:
        picture.join(network, card)
    return network


def _card(port: Any, y: int, base: str) -> Box:
    floating = getattr(port, "floating_ip", None)
    address = f"{port.ip} = {floating.address}" if floating else port.ip
    if port.instance is None:
        return Box(3, y, port.name or "Reserved port", address, f"{base}/ports/{port.id}", "is-free")
    state = port.instance.get_status_display().lower()
    note = f"{address} · {state}"
    return Box(3, y, port.instance.name, note, f"{base}/instances/{port.instance_id}", _CALM.get(port.instance.status, "is-move"))


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    branches = topology.of(ctx)
    context = {
        "branches": branches,
        "picture": draw(branches, f"/p/{ctx.needed_project.slug}") if branches else None,
        "live": {"project": ctx.needed_project.slug, "part": "page", "since": since},
    }
    return page(request, "portal/topology/index.html", context)


urlpatterns = [path("/topology", index, name="topology")]
