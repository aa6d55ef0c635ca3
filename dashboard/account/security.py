"""How one signs in, and where one is signed in."""

from __future__ import annotations

from dataclasses import dataclass

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.sessions.models import Session as StoredSession
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from cloudbox.common import clock, events
from dashboard.shell import account_page, page
from identity.context import Context

Kind = Authenticator.Type


@account_page
def security(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Password, passkeys, authenticator app, recovery codes."""
    rows = [*Authenticator.objects.filter(user=ctx.needed_user).order_by("created_at")]
    codes = next((row.wrap().get_unused_codes() for row in rows if row.type == Kind.RECOVERY_CODES), None)
    context = {
        "app": next((row for row in rows if row.type == Kind.TOTP), None),
        "passkeys": [{"row": row, "name": row.wrap().name} for row in rows if row.type == Kind.WEBAUTHN],
        "codes_left": len(codes) if codes is not None else None,
    }
    return page(request, "account/security.html", context)


@account_page
def passkeys(request: HttpRequest, ctx: Context) -> HttpResponse:
    """allauth goes here after a change; our list is part of the page above."""
    return HttpResponseRedirect(reverse("mfa_index"))


@dataclass(frozen=True)
class Session:
    """A browser that is signed in."""

    row: UserSession
    browser: str
    here: bool


@account_page
def sessions(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Each can be ended, and all others at once."""
    rows = _standing(ctx)
    if request.method == "POST":
        chosen = request.POST.get("end", "")
        ended = [row for row in rows if row.session_key != ctx.session_key and chosen in ("others", str(row.pk))]
        for row in ended:
            row.end()
            events.publish(ctx.actor, "end", "session", ctx.needed_user, detail=f"{row.ip} {browser_of(row.user_agent)}")
        if ended:
            messages.success(request, f"Ended {len(ended)} session{'s' if len(ended) > 1 else ''}.")
        return HttpResponseRedirect(request.path)
    listed = [Session(row, browser_of(row.user_agent), row.session_key == ctx.session_key) for row in rows]
    return page(request, "account/sessions.html", {"sessions": listed, "others": len(listed) - 1})


def _standing(ctx: Context) -> list[UserSession]:
    """The sessions that still hold, the last seen first; allauth's rows of others are dropped. Its own way asks once for each."""
    mine = UserSession.objects.filter(user=ctx.needed_user)
    alive = {
        *StoredSession.objects.filter(expire_date__gt=clock.now(), session_key__in=mine.values("session_key")).values_list("pk", flat=True)
    }
    mine.exclude(session_key__in=alive).delete()
    return [*mine.order_by("-last_seen_at")]


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl"))
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)  # fmt: skip


def browser_of(agent: str) -> str:
    """As in "Firefox on Linux", from what the browser says of itself; otherwise its own first words."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), agent.split(" ")[0][:40] or "Unknown browser")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{browser} on {system}" if system else browser
