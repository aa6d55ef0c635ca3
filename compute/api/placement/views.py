"""Placement, to read. All but a project's own usage is for who looks after the box."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound
from compute.api.openstack import reading
from compute.api.openstack.projects import project_of
from compute.api.openstack.service import Caller, answer, nothing
from compute.api.placement import render
from compute.api.placement.errors import VERSIONS, placement
from compute.api.placement.render import CLASSES, TRAITS, Consumer, Provider

_SUFFIXED = re.compile(r"(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{0,64})")
AMOUNT_MAX = 2**31 - 1


def _versions(request: HttpRequest) -> HttpResponse:
    row = {"id": "v1.0", "min_version": VERSIONS.text(VERSIONS.low), "max_version": VERSIONS.text(VERSIONS.high)}
    return answer({"versions": [row | {"status": "CURRENT", "links": [{"rel": "self", "href": ""}]}]})


def _find(caller: Caller, id: str) -> Provider:
    row = render.provider(caller)
    if str(reading.need_id(id, "resource provider")) != row.id:
        raise NotFound(f"There is no resource provider {id[:64]}.")
    return row


def _providers(request: HttpRequest, caller: Caller) -> HttpResponse:
    row = render.provider(caller)
    asked, fits = _asked(request)
    fits = fits and request.GET.get("name", row.name) == row.name and _is(request, "uuid", row) and _room(row, asked)
    return answer({"resource_providers": [render.shown(caller, row)] if fits else []})


def _is(request: HttpRequest, name: str, row: Provider) -> bool:
    return name not in request.GET or str(reading.id_of(request.GET[name])) == row.id


def _asked(request: HttpRequest) -> tuple[dict[str, int], bool]:
    """How much of each class, all groups of the request together since there is one provider; and whether it has the traits and lies
    where it is to: in no aggregate."""
    amounts: dict[str, int] = {}
    fits = True
    for key, values in request.GET.lists():
        found = _SUFFIXED.fullmatch(key)
        for text in values if found else ():
            assert found is not None
            if found[1] == "resources":
                for name, amount in _amounts(key, text).items():
                    amounts[name] = amounts.get(name, 0) + amount
            elif found[1] == "required":
                fits = fits and _has_traits(text)
            elif found[1] == "member_of":
                fits = fits and text.startswith("!")
    return amounts, fits


def _amounts(key: str, text: str) -> dict[str, int]:
    found = {}
    for pair in text.split(","):
        name, _, amount = pair.partition(":")
        if name not in CLASSES:
            raise Invalid(f"There is no resource class {name[:64]!r}. There are {', '.join(CLASSES)}.", field=key[:64])
        if not (amount.isascii() and amount.isdigit() and len(amount) <= 10 and 1 <= int(amount) <= AMOUNT_MAX):
            raise Invalid(f"{key[:64]}: write it like VCPU:2,MEMORY_MB:1024.", field=key[:64])
        found[name] = int(amount)
    return found


def _has_traits(text: str) -> bool:
    """`A,!B` is A and not B, `in:A,B` one of them."""
    if text.startswith("in:"):
        return any(name in TRAITS for name in text.removeprefix("in:").split(","))
    return all((name.removeprefix("!") in TRAITS) != name.startswith("!") for name in text.split(","))


def _room(row: Provider, asked: dict[str, int]) -> bool:
    used = row.used
    return all(used[name] + amount <= row.has[name] for name, amount in asked.items())


def _provider(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer(render.shown(caller, _find(caller, id)))


def _inventories(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _find(caller, id)
    rows = {name: render.inventory(amount) for name, amount in row.has.items()}
    return answer({"resource_provider_generation": row.generation, "inventories": rows})


def _inventory(request: HttpRequest, caller: Caller, id: str, name: str) -> HttpResponse:
    row = _find(caller, id)
    if name not in row.has:
        raise NotFound(f"The host has no inventory of {name[:64]}.")
    return answer({"resource_provider_generation": row.generation, **render.inventory(row.has[name])})


def _provider_usages(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _find(caller, id)
    return answer({"resource_provider_generation": row.generation, "usages": row.used})


def _aggregates(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.since(1)
    row = _find(caller, id)
    return answer({"aggregates": []} | ({"resource_provider_generation": row.generation} if caller.minor >= 19 else {}))


def _provider_traits(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.since(6)
    row = _find(caller, id)
    return answer({"traits": list(TRAITS), "resource_provider_generation": row.generation})


def _provider_allocations(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _find(caller, id)
    more = {"consumer_generation": 1} if caller.minor >= 28 else {}
    rows = {str(each.id): {"resources": dict(each.takes), **more} for each in row.consumers}
    return answer({"allocations": rows, "resource_provider_generation": row.generation})


def _classes(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.since(2)
    caller.ctx.require("box.look")
    return answer({"resource_classes": [_class(name) for name in CLASSES]})


def _class(name: str) -> dict[str, object]:
    return {"name": name, "links": [{"rel": "self", "href": f"/placement/resource_classes/{name}"}]}


def _one_class(request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
    caller.since(2)
    caller.ctx.require("box.look")
    if name not in CLASSES:
        raise NotFound(f"There is no resource class {name[:64]}.")
    return answer(_class(name))


def _traits(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Every one that there is has the host, so `associated` narrows to all or to none."""
    caller.since(6)
    caller.ctx.require("box.look")
    kind, _, text = request.GET.get("name", "startswith:").partition(":")
    if kind not in ("startswith", "in"):
        raise Invalid("name is startswith:… or in:….", field="name")
    found = [name for name in TRAITS if (name.startswith(text) if kind == "startswith" else name in text.split(","))]
    return answer({"traits": found if reading.flag(request, "associated") is not False else []})


def _trait(request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
    caller.since(6)
    caller.ctx.require("box.look")
    if name not in TRAITS:
        raise NotFound(f"There is no trait {name[:64]}.")
    return nothing()


def _allocations(request: HttpRequest, caller: Caller, consumer: str) -> HttpResponse:
    """Of who takes nothing there are none, whether there is such a consumer or not."""
    row, id = render.provider(caller), reading.id_of(consumer)
    found = next((each for each in row.consumers if each.id == id), None)
    if found is None:
        return answer({"allocations": {}})
    shape: dict[str, object] = {"allocations": {row.id: {"generation": row.generation, "resources": dict(found.takes)}}}
    if caller.minor >= 12:
        shape |= {"project_id": found.project_id.hex, "user_id": found.user_id.hex if found.user_id else ""}
    if caller.minor >= 28:
        shape["consumer_generation"] = 1
    return answer(shape | ({"consumer_type": "INSTANCE"} if caller.minor >= 38 else {}))


def _usages(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Of a project, which it may ask itself; others are for who looks after the box."""
    caller.since(9)
    if "project_id" not in request.GET:
        raise Invalid("project_id is missing.", field="project_id")
    project = project_of(caller, request.GET["project_id"])
    rows, _ = render.consumers(caller, all_projects=project.id != caller.ctx.project_id)
    mine: list[Consumer] = [each for each in rows if each.project_id == project.id]
    if "user_id" in request.GET:
        user = reading.id_of(request.GET["user_id"])
        mine = [each for each in mine if each.user_id == user]
    kind = request.GET.get("consumer_type", "all")
    if kind == "all" and caller.minor >= 38 and mine:
        return answer({"usages": {"all": render.consumer_usages(caller, mine)["INSTANCE"]}} if "consumer_type" in request.GET else
                      {"usages": render.consumer_usages(caller, mine)})  # fmt: skip
    return answer({"usages": render.consumer_usages(caller, mine if kind in ("all", "INSTANCE") else [])})


def _candidates(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.since(10)
    row = render.provider(caller)
    asked, fits = _asked(request)
    if not asked:
        raise Invalid("resources is missing: write it like VCPU:2,MEMORY_MB:1024.", field="resources")
    reading.number(request, "limit", least=1)
    if not fits or not _is(request, "in_tree", row) or not _room(row, asked):
        return answer({"allocation_requests": [], "provider_summaries": {}})
    summaries = {row.id: render.summary(caller, row, asked)}
    return answer({"allocation_requests": [render.candidate(caller, row, asked)], "provider_summaries": summaries})


versions = placement.open(GET=_versions)
providers = placement.view(GET=_providers)
provider = placement.view(GET=_provider)
inventories = placement.view(GET=_inventories)
inventory = placement.view(GET=_inventory)
provider_usages = placement.view(GET=_provider_usages)
aggregates = placement.view(GET=_aggregates)
provider_traits = placement.view(GET=_provider_traits)
provider_allocations = placement.view(GET=_provider_allocations)
classes = placement.view(GET=_classes)
resource_class = placement.view(GET=_one_class)
traits = placement.view(GET=_traits)
trait = placement.view(GET=_trait)
allocations = placement.view(GET=_allocations)
candidates = placement.view(GET=_candidates)
usages = placement.view(GET=_usages)
