"""Load balancers: list, create, one with what listens, who answers and how they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import floating_ips, load_balancers, networks
from compute.models import Listener, LoadBalancer, Pool
from dashboard import commands
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context

PROTOCOLS = (("http", "HTTP"), ("https", "HTTPS, with a certificate"), ("tcp", "TCP"))
EVENTS = 8
POOL = {
    "name": "", "protocol": "http", "algorithm": "round-robin", "is_sticky": "", "check_path": "", "check_seconds": "5",
    "check_falls": "3", "check_rises": "2", "timeout_seconds": "60",
}  # fmt: skip
NUMBERS = ("check_seconds", "check_falls", "check_rises", "timeout_seconds")


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/load-balancers"


def _live(ctx: Context, since: int) -> dict[str, Any]:
    return {"project": ctx.needed_project.slug, "part": "page", "since": since}


def _why(ctx: Context) -> str:
    return ctx.why_not("load_balancers.manage")


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, rows = request.GET.get("q", "").strip()[:100], load_balancers.list(ctx)
    found = rows.filter(Q(name__icontains=q) | Q(port__ip__startswith=q) | Q(description__icontains=q)) if q else rows
    context = {"rows": [(row, _health(row)) for row in found], "q": q, "why": _why(ctx), "live": _live(ctx, since)}
    return page(request, "portal/load_balancers/list.html", context)


def _health(row: LoadBalancer) -> tuple[str, str]:
    """A status and its words: how many of the members that are switched on are well."""
    members = [member for pool in row.pools.all() for member in pool.members.all() if member.is_enabled]
    well = sum(member.status == "up" for member in members)
    if not members or not row.listeners.all():
        return "off", "no members" if row.listeners.all() else "no listeners"
    words = f"{well} of {len(members)} up"
    if well == len(members):
        return "up", words
    return ("checking" if any(member.status == "checking" for member in members) else "down"), words


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    offered = networks.list(ctx)
    first = offered.first()
    form = Form(
        request,
        name="",
        description="",
        network_id=str(first.id) if first else "",
        protocol="http",
        number="80",
        member_number="80",
        algorithm="round-robin",
        is_sticky="",
        check_path="",
        certificate="",
        private_key="",
    )
    chosen = request.POST.getlist("port_ids")[: load_balancers.MEMBERS_MAX] if form.posted else []

    def act() -> LoadBalancer:
        network_id = form.id_of("network_id")
        if network_id is None:
            raise Invalid("Choose the network that it has its address on.", field="network_id")
        return load_balancers.launch(
            ctx,
            name=form.text("name"),
            description=form.text("description"),
            network_id=network_id,
            protocol=form.text("protocol"),
            number=_needed(form, "number"),
            member_number=_needed(form, "member_number"),
            port_ids=[_card(text) for text in chosen],
            algorithm=form.text("algorithm"),
            is_sticky=form.text("is_sticky") == "on" and form.text("protocol") != "tcp",
            check_path=form.text("check_path") if form.text("protocol") != "tcp" else "",
            certificate=form.text("certificate") if form.text("protocol") == "https" else "",
            private_key=form.text("private_key") if form.text("protocol") == "https" else "",
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    # A private key is not sent back to be shown.
    form["private_key"].value = ""
    context = {
        "form": form,
        "networks": offered,
        "cards": [port for port in floating_ips.ports(ctx) if port.instance_id is not None],
        "chosen": chosen,
        "protocols": PROTOCOLS,
        "algorithms": Pool.Algorithm.choices,
        "command": commands.curl(request, ctx, "load-balancers", {"name": form.text("name"), "network_id": form.text("network_id")}),
        "why": _why(ctx),
    }
    return page(request, "portal/load_balancers/new.html", context, status=form.status)


def _needed(form: Form, name: str) -> int:
    number = form.number(name)
    if number is None:
        raise Invalid("Write the number of a port.", field=name)
    return number


def _card(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid("Choose instances of the list.", field="member_number") from error


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Posted, it puts an instance into a pool."""
    form = Form(request, pool_id="", port_id="", number="80", weight="1")

    def act() -> Any:
        pool_id, port_id = form.id_of("pool_id"), form.id_of("port_id")
        if pool_id is None or port_id is None:
            raise Invalid("Choose the instance.", field="port_id")
        return load_balancers.add_member(ctx, id, pool_id, port_id=port_id, number=_needed(form, "number"), weight=_needed(form, "weight"))

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    since = activity.place()
    row = load_balancers.get(ctx, id)
    context = {
        "lb": row,
        "health": _health(row),
        "floating": getattr(row.port, "floating_ip", None),
        "pools": [(pool, load_balancers.why_not_delete_pool(pool)) for pool in row.pools.all()],
        "form": form,
        "cards": load_balancers.candidates(ctx, row),
        "events": activity.list(ctx, subject_id=id)[:EVENTS],
        "live": _live(ctx, since),
        "why": _why(ctx),
    }
    return page(request, "portal/load_balancers/detail.html", context, status=form.status)


@portal_page
def edit(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Name and description."""
    row = load_balancers.get(ctx, id)
    form = ChangeForm(request, name=row.name, description=row.description)
    changes = {"name": form.text("name"), "description": form.text("description")}
    if form.posted and form.run(lambda: load_balancers.update(ctx, id, changes)):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return page(request, "portal/load_balancers/edit.html", {"lb": row, "form": form, "why": _why(ctx)}, status=form.status)


def _settings(form: Form, *, is_tcp: bool) -> dict[str, Any]:
    """The fields of a pool; a number that was left empty stays as it is."""
    fields: dict[str, Any] = {"algorithm": form.text("algorithm")}
    fields |= {name: number for name in NUMBERS if (number := form.number(name)) is not None}
    if not is_tcp:
        fields |= {"is_sticky": form.text("is_sticky") == "on", "check_path": form.text("check_path")}
    return fields


@portal_page
def new_pool(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    row = load_balancers.get(ctx, id)
    form = Form(request, **POOL)

    def act() -> Any:
        protocol = form.text("protocol")
        fields = _settings(form, is_tcp=protocol == "tcp")
        return load_balancers.create_pool(ctx, id, name=form.text("name"), protocol=protocol, **fields)

    return _pool_page(request, ctx, row, form, act, None)


@portal_page
def pool(request: HttpRequest, ctx: Context, id: UUID, pool_id: UUID) -> HttpResponse:
    row = load_balancers.get(ctx, id)
    found = next((each for each in row.pools.all() if each.id == pool_id), None)
    if found is None:
        raise Http404("There is no such pool.")
    form = Form(
        request, **{name: str(getattr(found, name)) for name in POOL if name != "is_sticky"}, is_sticky="on" if found.is_sticky else ""
    )

    def act() -> Any:
        changes = {"name": form.text("name"), **_settings(form, is_tcp=found.protocol == "tcp")}
        return load_balancers.update_pool(ctx, id, pool_id, changes)

    return _pool_page(request, ctx, row, form, act, found)


def _pool_page(
    request: HttpRequest, ctx: Context, row: LoadBalancer, form: Form, act: Callable[[], Any], found: Pool | None
) -> HttpResponse:
    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{row.id}")
    context = {"lb": row, "pool": found, "form": form, "algorithms": Pool.Algorithm.choices, "why": _why(ctx)}
    return page(request, "portal/load_balancers/pool.html", context, status=form.status)


@portal_page
def new_listener(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    row = load_balancers.get(ctx, id)
    form = Form(request, protocol="https", number="443", pool_id="", timeout_seconds="60", certificate="", private_key="")

    def act() -> Any:
        return load_balancers.add_listener(
            ctx,
            id,
            protocol=form.text("protocol"),
            number=_needed(form, "number"),
            pool_id=form.id_of("pool_id"),
            timeout_seconds=_needed(form, "timeout_seconds"),
            **_certificate(form, is_secure=form.text("protocol") == "https"),
        )

    return _listener_page(request, ctx, row, form, act, None)


@portal_page
def listener(request: HttpRequest, ctx: Context, id: UUID, listener_id: UUID) -> HttpResponse:
    """Lead it to another pool, or give it the next certificate; open connections end as they would."""
    row = load_balancers.get(ctx, id)
    found = next((each for each in row.listeners.all() if each.id == listener_id), None)
    if found is None:
        raise Http404("There is no such listener.")
    form = ChangeForm(request, pool_id=str(found.pool_id), timeout_seconds=str(found.timeout_seconds), certificate="", private_key="")

    def act() -> Any:
        changes: dict[str, Any] = {"pool_id": form.id_of("pool_id"), "timeout_seconds": _needed(form, "timeout_seconds")}
        return load_balancers.update_listener(ctx, id, listener_id, changes | _certificate(form, is_secure=found.protocol == "https"))

    return _listener_page(request, ctx, row, form, act, found)


def _certificate(form: Form, *, is_secure: bool) -> dict[str, str]:
    """What was written where it is not asked for (another protocol was chosen after) is not sent."""
    return {name: form.text(name) if is_secure else "" for name in ("certificate", "private_key")}


def _listener_page(
    request: HttpRequest, ctx: Context, row: LoadBalancer, form: Form, act: Callable[[], Any], found: Listener | None
) -> HttpResponse:
    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{row.id}")
    # A private key is not sent back to be shown.
    form["private_key"].value = ""
    pools = [each for each in row.pools.all() if found is None or (each.protocol == "tcp") == (found.protocol == "tcp")]
    context = {"lb": row, "listener": found, "form": form, "pools": pools, "protocols": PROTOCOLS, "why": _why(ctx)}
    return page(request, "portal/load_balancers/listener.html", context, status=form.status)


def _member(ctx: Context, row: LoadBalancer, target: UUID) -> UUID:
    """The pool of a member."""
    return next((pool.id for pool in row.pools.all() for member in pool.members.all() if member.id == target), target)


DO: dict[str, tuple[Callable[[Context, LoadBalancer, UUID], Any], str]] = {
    "remove-member": (lambda ctx, row, target: load_balancers.remove_member(ctx, row.id, _member(ctx, row, target), target), "Removed."),
    "enable-member": (
        lambda ctx, row, target: load_balancers.update_member(ctx, row.id, _member(ctx, row, target), target, {"is_enabled": True}),
        "It gets its share again as soon as it is well.",
    ),
    "disable-member": (
        lambda ctx, row, target: load_balancers.update_member(ctx, row.id, _member(ctx, row, target), target, {"is_enabled": False}),
        "It finishes what it has, and gets nothing new.",
    ),
    "remove-listener": (lambda ctx, row, target: load_balancers.remove_listener(ctx, row.id, target), "It listens there no more."),
    "delete-pool": (lambda ctx, row, target: load_balancers.delete_pool(ctx, row.id, target), "Deleted the pool."),
}


def _target(form: Form) -> UUID:
    target = form.id_of("target")
    if target is None:
        raise Invalid("The form came without its fields. Nothing was changed; send it again.")
    return target


@require_POST
@portal_page
def do(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    """To one of its members, listeners or pools: the field `target`."""
    if key not in DO:
        raise Http404("There is no such action.")
    row = load_balancers.get(ctx, id)
    act, done = DO[key]
    form = Form(request, target="")
    attempt(request, lambda: act(ctx, row, _target(form)), done=done)
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = load_balancers.get(ctx, id).name
    done = attempt(request, lambda: load_balancers.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/load-balancers", index, name="load-balancers"),
    path("/load-balancers/new", new, name="load-balancer-new"),
    path("/load-balancers/<uuid:id>", detail, name="load-balancer"),
    path("/load-balancers/<uuid:id>/settings", edit, name="load-balancer-settings"),
    path("/load-balancers/<uuid:id>/pools/new", new_pool, name="load-balancer-pool-new"),
    path("/load-balancers/<uuid:id>/pools/<uuid:pool_id>", pool, name="load-balancer-pool"),
    path("/load-balancers/<uuid:id>/listeners/new", new_listener, name="load-balancer-listener-new"),
    path("/load-balancers/<uuid:id>/listeners/<uuid:listener_id>", listener, name="load-balancer-listener"),
    path("/load-balancers/<uuid:id>/do/<slug:key>", do, name="load-balancer-do"),
    path("/load-balancers/<uuid:id>/delete", delete, name="load-balancer-delete"),
]
