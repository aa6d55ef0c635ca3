"""Pages before signing in that only say what to do: accounts and lost passwords are matters of the administrator."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def sign_up(request: HttpRequest) -> HttpResponse:
    return render(request, "account/signup_closed.html", status=200 if request.method in ("GET", "HEAD") else 403)


def reset(request: HttpRequest) -> HttpResponse:
    """The box sends no e-mail yet; the administrator's command line does it."""
    return render(request, "account/password_reset.html")
