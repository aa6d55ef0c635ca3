"""Swift's first way to sign in: names in headers, a token and the account's address in headers."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from cloudbox.common import clock
from cloudbox.common.errors import Unauthenticated
from identity import tokens, users
from identity.api.keystone import links
from identity.api.keystone.base import keystone
from identity.authn import passwords
from identity.authn.tokens import text_matches
from identity.models import ApiToken, Project, User
from identity.token_format import Scope, ScopeKind

LENGTH_MAX = 1024


def _sign_in(request: HttpRequest) -> HttpResponse:
    """`project:user` and the password or the text of an API token (cbx_…), as X-Auth-User/X-Auth-Key or X-Storage-User/X-Storage-Pass."""
    headers = request.headers
    who = headers.get("X-Auth-User") or headers.get("X-Storage-User") or ""
    key = headers.get("X-Auth-Key") or headers.get("X-Storage-Pass") or ""
    if not who or not key or len(who) > LENGTH_MAX or len(key) > LENGTH_MAX:
        raise Unauthenticated("Send X-Auth-User: project:user and X-Auth-Key.")
    account, _, name = who.partition(":")
    project = _project(account)
    user = users.find(login=name or account)
    credential = None
    if key.startswith("cbx_"):
        credential = text_matches(key)
        if credential is None or user is None or credential.user_id != user.id:
            passwords.count_failure(request, name=name)
            raise Unauthenticated(passwords.WRONG)
    else:
        user = passwords.check(request, name=name or account, user=user, password=key, passcode=None)
    if project is None and not name:
        # Without a project's name it is the user's only one.
        mine = Project.objects.filter(memberships__user=user).exclude(status=Project.Status.DELETED)[:2]
        project = mine[0] if len(mine) == 1 else None
    if project is None or (credential is not None and credential.project_id != project.id):
        raise Unauthenticated("There is no such project, or you have no role in it.")
    return _answer(request, user, project, credential)


def _project(account: str) -> Project | None:
    rows = Project.objects.exclude(status=Project.Status.DELETED)
    return rows.filter(slug=account).first() or rows.filter(name=account).order_by("created_at").first()


def _answer(request: HttpRequest, user: User, project: Project, credential: ApiToken | None) -> HttpResponse:
    text, standing = tokens.issue(
        user,
        methods=("application_credential",) if credential else ("password",),
        scope=Scope(ScopeKind.PROJECT, project.id),
        credential=credential,
        password_was=None if credential else user.password,
    )
    response = HttpResponse(status=200)
    response["X-Storage-Url"] = links.account(request, project.id)
    response["X-Auth-Token"] = response["X-Storage-Token"] = text
    response["X-Auth-Token-Expires"] = str(int((standing.token.expires_at - clock.now()).total_seconds()))
    response["Cache-Control"] = "no-store"
    return response


sign_in = keystone.open(GET=_sign_in)
