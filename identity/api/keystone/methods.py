"""POST /v3/auth/tokens: the ways to say who one is and for what the token shall be."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

from cloudbox.common.errors import Forbidden, Invalid, NotSupported, Unauthenticated
from cloudbox.common.fields import Fields
from identity import projects, tokens, users
from identity.authn import passwords
from identity.authn.passwords import WRONG, SecondFactorNeeded
from identity.authn.tokens import matches
from identity.models import ApiToken, Domain, Project, User
from identity.token_format import Scope, ScopeKind, Token

DEFAULT_DOMAIN_ID = "default"  # What Keystone calls the domain that is always there.
SUPPORTED = ("password", "totp", "token", "application_credential")


class MethodsMissing(Unauthenticated):
    """What was shown is right, but more is needed: the receipt says what was shown."""

    def __init__(self, message: str, *, user: User, text: str, receipt: Token, needed: list[list[str]]) -> None:
        super().__init__(message)
        self.user, self.text, self.receipt, self.needed = user, text, receipt, needed


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Who it is, and how that was shown."""

    user: User
    methods: tuple[str, ...]
    parent: Token | None = None
    credential: ApiToken | None = None
    password_was: str | None = None


def domain_by_id(text: str) -> Domain | None:
    if text.lower() == DEFAULT_DOMAIN_ID:
        return projects.default_domain()
    id = id_of(text)
    return Domain.objects.filter(id=id).first() if id else None


def id_of(text: str) -> UUID | None:
    """An id as clients write it, with hyphens or without; None for what is none."""
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None


def domain_of(fields: Fields | None) -> Domain | None:
    """From {"id"} or {"name"}; the default domain when neither is given."""
    if fields is None:
        return projects.default_domain()
    if text := fields.text("id"):
        return domain_by_id(text)
    name = fields.needed_text("name")
    return projects.default_domain() if name.lower() == DEFAULT_DOMAIN_ID else Domain.objects.filter(name__iexact=name).first()


def show(request: HttpRequest, identity: Fields) -> Shown:
    """Check everything that the request shows; Unauthenticated if anything is wrong."""
    methods = list(dict.fromkeys(identity.texts("methods")))
    if not methods:
        raise Invalid("identity.methods is missing.", field="identity.methods")
    for method in methods:
        if method not in SUPPORTED:
            raise Unauthenticated(f"The method {method[:40]} is not served here; {', '.join(SUPPORTED)} are.")
        if method not in identity:
            raise Invalid(f"identity.{method} is missing.", field=f"identity.{method}")
    if set(methods) <= {"password", "totp"}:
        return _by_password(request, identity, methods)
    if methods == ["token"]:
        return _by_token(identity.needed_object("token"))
    if methods == ["application_credential"]:
        return _by_credential(request, identity.needed_object("application_credential"))
    raise Invalid("Only password and totp can be shown together.", field="identity.methods")


def _by_password(request: HttpRequest, identity: Fields, methods: list[str]) -> Shown:
    about = [identity.needed_object(method).needed_object("user") for method in methods]
    name, user = user_of(about[0])
    for other in about[1:]:
        if user_of(other)[1] != user:
            raise Unauthenticated(WRONG)
    by_method = dict(zip(methods, about, strict=True))
    password = by_method["password"].text("password") or "" if "password" in by_method else None
    passcode = by_method["totp"].text("passcode") or "" if "totp" in by_method else None
    before = _methods_of_receipt(request, user)
    try:
        user = passwords.check(request, name=name, user=user, password=password, passcode=passcode, shown=before)
    except SecondFactorNeeded as error:
        if not error.possible:
            raise
        text, receipt = tokens.receipt(error.user.id, methods)
        raise MethodsMissing(error.message, user=error.user, text=text, receipt=receipt, needed=[["password", "totp"]]) from error
    return Shown(user=user, methods=tuple(dict.fromkeys([*before, *methods])), password_was=user.password)


def _methods_of_receipt(request: HttpRequest, user: User | None) -> tuple[str, ...]:
    text = request.META.get("HTTP_OPENSTACK_AUTH_RECEIPT", "")
    if not text or user is None:
        return ()
    receipt = tokens.read_receipt(text)
    return receipt.methods if receipt.user == user.id and receipt.issued_at >= user.tokens_since else ()


def user_of(fields: Fields) -> tuple[str, User | None]:
    """What was typed, and whose name it is."""
    if text := fields.text("id", length_max=255):
        id = id_of(text)
        return text, User.objects.filter(id=id).first() if id else None
    name = fields.needed_text("name", length_max=255)
    domain = domain_of(fields.object("domain"))
    return name, users.find(login=name, domain=domain) if domain else None


def _by_token(fields: Fields) -> Shown:
    """A token for a token: the new one may be about something else, and ends when the first does."""
    standing = tokens.stand(tokens.read(fields.needed_text("id", length_max=1024)))
    if standing.credential is not None:
        raise Forbidden("A token of an application credential is for its project only: it cannot be exchanged.")
    return Shown(user=standing.user, methods=tuple(dict.fromkeys([*standing.token.methods, "token"])), parent=standing.token)


def _by_credential(request: HttpRequest, fields: Fields) -> Shown:
    secret = fields.needed_text("secret", length_max=1024)
    if text := fields.text("id", length_max=64):
        id = id_of(text)
        rows = ApiToken.objects.filter(id=id) if id else ApiToken.objects.none()
    else:
        name, user = fields.needed_text("name", length_max=255), user_of(fields.needed_object("user"))[1]
        rows = ApiToken.objects.filter(user=user, name=name) if user else ApiToken.objects.none()
    # A name is unique in a project only; a user has a handful of projects.
    for row in rows.select_related("user", "project")[:10]:
        if matches(row, secret):
            return Shown(user=row.user, methods=("application_credential",), credential=row)
    passwords.count_failure(request, name=fields.text("id", length_max=64) or fields.needed_text("name"))
    raise Unauthenticated("There is no such application credential, or its secret is not right.")


def scope_of(auth: Fields, shown: Shown) -> Scope:
    """What the token shall be about: as asked, else the user's default project, else nothing."""
    if shown.credential is not None:
        if "scope" in auth:
            raise Invalid("An application credential has a scope of its own. Leave the scope off.", field="auth.scope")
        return Scope(ScopeKind.PROJECT, shown.credential.project_id)
    asked = auth.values.get("scope")
    if asked is None and shown.parent is None and shown.user.default_project_id is not None:
        scope = Scope(ScopeKind.PROJECT, shown.user.default_project_id)
        return scope if _reaches(shown.user, shown.user.default_project_id) else Scope()
    if asked is None or asked in ("unscoped", {"unscoped": {}}) or asked == {}:
        return Scope()
    scope_fields = auth.needed_object("scope")
    kinds = [kind for kind in ("project", "domain", "system") if kind in scope_fields]
    if "OS-TRUST:trust" in scope_fields:
        raise NotSupported("There are no trusts here. Use an application credential.")
    if len(kinds) != 1:
        raise Invalid("auth.scope names one of project, domain or system.", field="auth.scope")
    if kinds == ["system"]:
        if scope_fields.needed_object("system").flag("all") is not True:
            raise Invalid('The system is asked for as {"all": true}.', field="auth.scope.system")
        return Scope(ScopeKind.SYSTEM)
    if kinds == ["domain"]:
        domain = domain_of(scope_fields.object("domain"))
        return Scope(ScopeKind.DOMAIN, domain.id if domain else UUID(int=0))
    project = project_of(scope_fields.needed_object("project"))
    return Scope(ScopeKind.PROJECT, project.id if project else UUID(int=0))


def _reaches(user: User, project: UUID) -> bool:
    return bool(user.box_role) or user.memberships.filter(project_id=project).exists()


def project_of(fields: Fields) -> Project | None:
    """By id, or by name (or short name, as the portal's addresses have it) in a domain."""
    rows = Project.objects.exclude(status=Project.Status.DELETED)
    if text := fields.text("id", length_max=64):
        id = id_of(text)
        return rows.filter(id=id).first() if id else None
    name, domain = fields.needed_text("name", length_max=255), domain_of(fields.object("domain"))
    if domain is None:
        return None
    rows = rows.filter(domain=domain)
    return rows.filter(name=name).first() or rows.filter(name__iexact=name).first() or rows.filter(slug=name).first()
