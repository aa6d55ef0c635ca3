"""Who reaches a bucket: the block of public access, ownership and lists, the policy by a wizard and as JSON, and who can do what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from cloudbox.common.errors import Invalid
from dashboard.forms.base import Form
from dashboard.forms.parts import PartForm, any_posted
from dashboard.portal import bucket_shell
from dashboard.shell import page, portal_page
from identity.context import Context
from storage import buckets, configurations, policy_drafts, simulator
from storage.access import PublicBlock
from storage.simulator import Question

# S3's four parts: field, title, what it does
BLOCKS = (
    ("block_acls", "Refuse public lists", "No access control list that lets everybody in can be stored."),
    ("ignore_acls", "Pass over public lists", "Those that are there count for nothing."),
    ("block_policy", "Refuse public policies", "No policy that lets everybody in can be stored."),
    ("restrict", "Restrict a public policy", "One that is there lets in this project only."),
)
OWNERSHIP = (
    ("enforced", "This project owns everything", "Access control lists are off. What a policy says is all there is to know."),
    ("preferred", "This project, if the writer lets it", "What others write with the list bucket-owner-full-control is the project's."),
    ("writer", "Whoever writes an object owns it", "Other projects own what they write here, and decide who reads it."),
)
ACLS = (
    ("private", "Private"),
    ("public-read", "Everybody may list"),
    ("public-read-write", "Everybody may list, write and delete"),
    ("authenticated-read", "Every project of the box may list"),
)
QUESTION = {"kind": "anonymous", "user": "", "project": "", "action": "s3:GetObject", "key": "", "secure": "on", "source_ip": ""}


@portal_page
def access(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    row = buckets.get(ctx, name)
    text = configurations.policy_text(row)
    block = PartForm(request, "block", ticks=asdict(configurations.public_block(row)))
    owner = PartForm(request, "ownership", ownership=row.ownership, acl=configurations.canned_acl(row))
    wizard = PartForm(request, "wizard", wish="public-read", prefix="", project="", addresses="")
    remove = PartForm(request, "statement", position="")
    policy = PartForm(request, "policy", policy=policy_drafts.pretty(text))
    forms = (block, owner, wizard, remove, policy)
    check = "check" in request.POST
    if done := _change(ctx, row, text, *forms, check=check):
        sentence, at = done
        return bucket_shell.saved(request, sentence, at=at)
    context = bucket_shell.shown(
        ctx,
        row,
        "access",
        block=block,
        blocks=[(title, says, block[name]) for name, title, says in BLOCKS],
        owner=owner,
        ownerships=OWNERSHIP,
        acls=ACLS,
        wizard=wizard,
        wishes=policy_drafts.WISHES,
        policy=policy,
        remove=remove,
        statements=[_statement(one) for one in policy_drafts.listed(text)],
        mistakes=policy_drafts.mistakes(policy.text("policy"), bucket=row.name) if policy.posted and policy.text("policy") else [],
        checked=policy.posted and check and policy.status == 200,
        **_simulated(request, ctx, row),
    )
    return page(request, "portal/buckets/access.html", context, status=any_posted(*forms))


def _change(
    ctx: Context,
    row: Any,
    text: str,
    block: PartForm,
    owner: PartForm,
    wizard: PartForm,
    remove: PartForm,
    policy: PartForm,
    *,
    check: bool,
) -> tuple[str, str] | None:
    """Do what was sent. What to say, and where on the page; None when nothing was done."""
    if block.posted and block.run(
        lambda: configurations.set_public_block(ctx, row, PublicBlock(**{name: block.ticked(name) for name, _, _ in BLOCKS}))
    ):
        return "The block of public access is saved.", "block"
    if owner.posted and owner.run(lambda: _set_owner(ctx, row, owner)):
        return "Ownership is saved.", "owner"
    if wizard.posted and wizard.run(lambda: configurations.set_policy(ctx, row, _wished(row, text, wizard))):
        return "Added to the policy. It counts from now on.", "policy"
    if remove.posted and remove.run(lambda: configurations.set_policy(ctx, row, policy_drafts.without(text, _position(remove)))):
        return "Taken out of the policy.", "policy"
    if policy.posted:
        sent = policy.text("policy")
        ctx.require("buckets.manage")
        if sent and policy_drafts.mistakes(sent, bucket=row.name):
            # The mistakes stand at the text, each with its line.
            policy.refuse(Invalid("This policy cannot be stored yet.", field="policy"))
        elif not check and policy.run(lambda: configurations.set_policy(ctx, row, sent)):
            return ("The policy is saved." if sent else "The policy is gone."), "policy"
    return None


def _set_owner(ctx: Context, row: Any, form: PartForm) -> Any:
    wanted = {"ownership": form.text("ownership")}
    acl = form.text("acl")
    if acl != "custom" and acl != configurations.canned_acl(row):
        if wanted["ownership"] == "enforced":
            # Lists are off from now on; a private one first, so that nothing of the old one stays behind.
            configurations.update(ctx, row, {"acl": "private"} if row.ownership != "enforced" else {})
            acl = ""
        else:
            wanted["acl"] = acl
    return configurations.update(ctx, row, {name: value for name, value in wanted.items() if value})


def _wished(row: Any, text: str, form: PartForm) -> str:
    more = policy_drafts.statements(
        form.text("wish"), bucket=row.name, prefix=form.text("prefix"), project=form.text("project"), addresses=form.text("addresses")
    )
    return policy_drafts.added(text, more)


def _position(form: PartForm) -> int:
    position = form.number("position")
    if position is None:
        raise Invalid("Say which statement.")
    return position


def _statement(one: Any) -> dict[str, Any]:
    return {"sentence": policy_drafts.told(one), "sid": one.get("Sid", ""), "allow": one.get("Effect") == "Allow"}


def _simulated(request: HttpRequest, ctx: Context, row: Any) -> dict[str, Any]:
    """The question is in the URL, so that it can be put again, and shown to somebody."""
    asked = request.method == "GET" and "kind" in request.GET
    form: Form = Form(request, **QUESTION) if request.method == "GET" else PartForm(request, "question", ticks=None, **QUESTION)
    if asked:
        # An unticked box is not sent.
        form["secure"].value = "on" if "secure" in request.GET else ""
        form.run(
            lambda: simulator.ask(
                ctx,
                row,
                Question(
                    kind=form.text("kind"),
                    user=form.text("user"),
                    project=form.text("project"),
                    action=form.text("action"),
                    key=form.text("key"),
                    secure=form.text("secure") == "on",
                    source_ip=form.text("source_ip"),
                ),
            )
        )
    return {"question": form, "asked": asked, "answer": form.result, "actions": simulator.ACTIONS}


urlpatterns = [path("/buckets/<str:name>/access", access, name="bucket-access")]
