"""What the command palette answers."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from dashboard.shell import account_page
from identity.context import Context


@account_page
def palette(request: HttpRequest, ctx: Context) -> HttpResponse:
    return JsonResponse({"groups": []})
