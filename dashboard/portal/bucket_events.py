"""The events of a bucket: which go to which webhook, the webhooks themselves, and what was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import path

from cloudbox.common.errors import Invalid
from dashboard.forms.parts import PartForm, any_posted
from dashboard.portal import bucket_shell
from dashboard.shell import page, portal_page
from identity import activity
from identity.context import Context
from storage import buckets, notifications, webhooks

# field, pattern, title
FAMILIES = (
    ("created", "ObjectCreated:*", "Written"),
    ("removed", "ObjectRemoved:*", "Deleted"),
    ("expired", "LifecycleExpiration:*", "Expired"),
    ("tagged", "ObjectTagging:*", "Tagged"),
    ("listed", "ObjectAcl:Put", "Given another list of access"),
)
STATES = (("", "All"), ("waiting", "Waiting"), ("delivered", "Delivered"), ("dead", "Not delivered"))
LOG = 50
_DONE = {
    "test": "A test event is on its way to {}. The log below shows what comes of it.",
    "enable": "{} is switched on.",
    "disable": "{} is switched off. Its events are kept, and can be sent again.",
    "redeliver": "What {} did not get is sent again.",
    "delete": "{} is gone, with its log.",
}


@portal_page
def events(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    since = activity.place()  # Read first: what changes while the page is made is shown when it is asked again.
    row = buckets.get(ctx, name)
    hooks = list(webhooks.list_webhooks(ctx))
    rules = webhooks.rules_of(row)
    add = PartForm(request, "rule", ticks={field: field == "created" for field, _, _ in FAMILIES}, webhook="", prefix="", suffix="", id="")
    remove = PartForm(request, "remove", id="")
    make = PartForm(request, "hook", name="", url="")
    act = PartForm(request, "act", webhook="", do="")
    again = PartForm(request, "again", webhook="", event="")
    if add.posted and add.run(lambda: webhooks.set_rules(ctx, row, [*rules, _rule(add)])):
        return bucket_shell.saved(request, "The rule is added. Events are sent from now on.")
    if remove.posted and remove.run(lambda: webhooks.set_rules(ctx, row, _without(rules, remove.text("id")))):
        return bucket_shell.saved(request, "The rule is gone.")
    if act.posted and act.run(lambda: _act(ctx, row, act)):
        return bucket_shell.saved(request, act.result, at="hooks")
    if again.posted and again.run(lambda: _again(ctx, again)):
        return bucket_shell.saved(request, f"{again.result.key or 'The test event'} is sent again.", at="log")
    made = make.posted and make.run(lambda: webhooks.create(ctx, name=make.text("name"), url=make.text("url")))
    state = request.GET.get("state", "")
    context = bucket_shell.shown(
        ctx,
        row,
        "events",
        rules=[{**rule, "sentence": notifications.told(rule)} for rule in rules],
        hooks=hooks,
        add=add,
        families=[(title, add[field]) for field, _, title in FAMILIES],
        remove=remove,
        make=make,
        act=act,
        again=again,
        made=make.result if made else None,
        log=list(webhooks.log_of(ctx, bucket=row.name, state=state)[:LOG]),
        states=STATES,
        state=state,
        live={"project": ctx.needed_project.slug, "part": "page", "since": since},
        why_rule=ctx.why_not("buckets.manage") or ("" if hooks else "Make a webhook first."),
    )
    answer = page(request, "portal/buckets/events.html", context, status=any_posted(add, remove, make, act, again))
    if made:
        answer["Cache-Control"] = "no-store"
    return answer


def _rule(form: PartForm) -> dict[str, Any]:
    wanted = [pattern for field, pattern, _ in FAMILIES if form.ticked(field)]
    if not wanted:
        raise Invalid("Choose at least one event.", field="created")
    if not form.text("webhook"):
        raise Invalid("Choose a webhook.", field="webhook")
    return {name: form.text(name) for name in ("id", "webhook", "prefix", "suffix")} | {"events": wanted, "kind": "topic"}


def _without(rules: list[dict[str, Any]], id: str) -> list[dict[str, Any]]:
    left = [rule for rule in rules if rule["id"] != id]
    if len(left) == len(rules):
        raise Invalid("The rules have changed meanwhile. Look again.")
    return left


def _again(ctx: Context, form: PartForm) -> Any:
    hook, event = form.id_of("webhook"), form.id_of("event")
    if hook is None or event is None:
        raise Invalid("The log has changed meanwhile. Look again.")
    return webhooks.redeliver(ctx, hook, event)


def _act(ctx: Context, row: Any, form: PartForm) -> str:
    """Do it; what to say."""
    id, do = form.id_of("webhook"), form.text("do")
    if id is None or do not in _DONE:
        raise Invalid("The webhooks have changed meanwhile. Look again.")
    hook = webhooks.get(ctx, id)
    _do(ctx, row, id, do)
    return _DONE[do].format(hook.name)


def _do(ctx: Context, row: Any, id: UUID, do: str) -> None:
    if do == "test":
        webhooks.send_test(ctx, id, bucket=row.name)
    elif do == "redeliver":
        webhooks.redeliver_dead(ctx, id)
    elif do == "delete":
        webhooks.delete(ctx, id)
    else:
        webhooks.change(ctx, id, is_enabled=do == "enable")


urlpatterns = [path("/buckets/<str:name>/events", events, name="bucket-events")]
