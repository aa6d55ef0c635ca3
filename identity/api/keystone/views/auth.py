"""Tokens, and where one's own token could go."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Forbidden, NotFound, Unauthenticated
from cloudbox.common.fields import body_of
from identity import projects as project_verbs
from identity import tokens as verbs
from identity.api.keystone import links, methods, render
from identity.api.keystone.base import Caller, answer, flag, keystone, nothing, page
from identity.models import Project
from identity.tokens import Standing


def _create(request: HttpRequest) -> HttpResponse:
    auth = body_of(request).needed_object("auth")
    shown = methods.show(request, auth.needed_object("identity"))
    text, standing = verbs.issue(
        shown.user,
        methods=shown.methods,
        scope=methods.scope_of(auth, shown),
        parent=shown.parent,
        credential=shown.credential,
        password_was=shown.password_was,
    )
    return _token(request, text, standing, status=201)


def _token(request: HttpRequest, text: str, standing: Standing, *, status: int = 200) -> HttpResponse:
    response = answer("token", render.token(request, standing, catalogue="nocatalog" not in request.GET), status=status)
    response["X-Subject-Token"] = text
    response["Cache-Control"] = "no-store"
    return response


def _subject(request: HttpRequest, caller: Caller) -> tuple[str, Standing]:
    """The token that is asked about: one's own, or anybody's for who may see users. 404 when it is no good."""
    text = request.META.get("HTTP_X_SUBJECT_TOKEN", "")
    try:
        subject = verbs.stand(verbs.read(text))
    except Unauthenticated as error:
        raise NotFound("There is no such token.") from error
    if subject.user.id != caller.ctx.needed_user.id and not caller.ctx.may("users.list"):
        raise Forbidden("You may look at your own tokens only.")
    return text, subject


def _show(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _token(request, *_subject(request, caller))


def _revoke(request: HttpRequest, caller: Caller) -> HttpResponse:
    subject = _subject(request, caller)[1]
    if subject.user.id != caller.ctx.needed_user.id:
        caller.ctx.require("users.manage")
    verbs.revoke(caller.ctx, subject.token)
    return nothing()


def _projects(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = project_verbs.list(caller.ctx).select_related("domain")
    granted = Project.objects.filter(custom_grants__user=caller.ctx.user).exclude(status=Project.Status.DELETED).select_related("domain")
    every = {row.id: row for row in [*rows, *granted]}
    if caller.standing.credential is not None:
        every = {id: row for id, row in every.items() if row == caller.ctx.project}
    return page(request, "projects", [*every.values()], render.project)


def _domains(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [project_verbs.default_domain()] if caller.ctx.box_role else []
    return page(request, "domains", rows, render.domain)


def _catalogue(request: HttpRequest, caller: Caller) -> HttpResponse:
    body = links.catalogue(request, caller.ctx.project.id if caller.ctx.project else None)
    response = answer("catalog", body)
    return response


def _system(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer("system", [{"all": True}] if caller.ctx.box_role and flag(request, "all") is not False else [])


tokens = keystone.view(GET=_show, DELETE=_revoke)
signing_in = keystone.open(POST=_create)
projects = keystone.view(GET=_projects)
domains = keystone.view(GET=_domains)
catalogue = keystone.view(GET=_catalogue)
system = keystone.view(GET=_system)
