"""Creates that are safe to repeat: the same `Idempotency-Key` with the same body gives the first answer again, for a day.

Answers may hold a secret (a private key, a token), so they lie sealed in Redis. Without the box's key they are noise.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from cloudbox.common.errors import Invalid
from dashboard.api.errors import IdempotencyKeyReused, StillRunning
from identity.context import Context

HEADER = "Idempotency-Key"
KEPT_SECONDS = 24 * 3600
RUNNING_SECONDS = 60
_KEY = re.compile(r"[!\"$-~]{1,64}")  # without "#", as instances' own tokens

Method = Callable[..., Response]


def key_of(request: Request) -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid("An Idempotency-Key has 1 to 64 printable characters, no blanks and no #.")
    return key


def idempotent(method: Method) -> Method:
    """For a view's `post` that creates something."""

    @functools.wraps(method)
    def once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = key_of(request)
        if key is None:
            return method(view, request, *args, **kwargs)
        place, print_ = _place(view.ctx, request, key), _print(request.data)
        before = None if cache.add(place, {"print": print_}, RUNNING_SECONDS) else cache.get(place)
        if before is not None:
            return _again(before, print_)
        try:
            response = method(view, request, *args, **kwargs)
        except BaseException:
            cache.delete(place)  # nothing was created; the same key may try again
            raise
        cache.set(place, {"print": print_, "answer": _seal(response)}, KEPT_SECONDS)
        return response

    return once


def _place(ctx: Context, request: Request, key: str) -> str:
    assert ctx.user is not None
    parts = [str(ctx.project.id if ctx.project else ""), str(ctx.user.id), request.method, request.path, key]
    return "idempotency:" + hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _print(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _again(before: dict[str, Any], print_: str) -> Response:
    if before["print"] != print_:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another body. Use a new key for a new request.")
    if "answer" not in before:
        raise StillRunning("The first request with this Idempotency-Key has not ended. Try again in a moment.")
    answer = json.loads(_vault().decrypt(before["answer"]))
    return Response(answer["data"], status=answer["status"], headers=answer["headers"] | {"Idempotency-Replayed": "true"})


def _seal(response: Response) -> bytes:
    headers = {"Location": response["Location"]} if "Location" in response else {}
    answer = {"status": response.status_code, "headers": headers, "data": response.data}
    return _vault().encrypt(json.dumps(answer, cls=JSONEncoder).encode())


@functools.cache
def _vault() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"idempotency:{settings.SECRET_KEY}".encode()).digest()))
