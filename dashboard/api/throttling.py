"""How often one project may ask: a counter a minute in Redis, shared by all web processes."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ProjectThrottle(BaseThrottle):
    """Counts by project; what is about no project counts by user."""

    def allow_request(self, request: Request, view: Any) -> bool:
        count, _, period = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["project"].partition("/")
        self.seconds = _SECONDS[period[0]]
        ctx = view.ctx
        whose = f"p:{ctx.project.id}" if ctx.project else f"u:{ctx.user.id}"
        key = f"throttle:{whose}:{int(time.time()) // self.seconds}"
        cache.add(key, 0, self.seconds + 1)
        try:
            return cache.incr(key) <= int(count)
        except ValueError:  # the counter's time ended between the two calls: a new period has begun
            return True

    def wait(self) -> float:
        return self.seconds - time.time() % self.seconds
