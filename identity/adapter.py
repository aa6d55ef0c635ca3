"""Where allauth meets the house: who may sign up (nobody by themselves), and audit rows for sign-in and its failures."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from cloudbox.common import events
from cloudbox.common.events import Actor
from cloudbox.common.models import Event
from cloudbox.common.requests import client_address, request_id
from identity.models import User


def _actor(request: HttpRequest, user: User | None, name: str = "") -> Actor:
    return Actor(
        id=user.id if user else None,
        name=user.email if user else name,
        api=getattr(request, "api", "portal"),
        address=client_address(request),
        request_id=request_id(request),
    )


# From how many on it is said that the tries run out.
TRIES_LEFT_TOLD = 2


class MfaAdapter(DefaultMFAAdapter):
    error_messages: ClassVar[dict[str, Any]] = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "That code does not fit. Take the newest of your app (it changes every 30 seconds) or an unused recovery code.",
    }


class AccountAdapter(DefaultAccountAdapter):
    error_messages: ClassVar[dict[str, Any]] = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "That e-mail and password do not match.",
        "too_many_login_attempts": "Five tries were wrong. Wait 15 minutes, or ask the administrator of the box for a new password.",
        "account_inactive": "This account is suspended. Ask the administrator of the box.",
        "incorrect_password": "That is not your password.",
        "enter_current_password": "That is not your present password.",
        "incorrect_code": "That code is not right. Codes change every 30 seconds; take the newest.",
    }

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """From the third wrong try on it says how many are left; they are counted by what was typed, account or not."""
        error: ValidationError = super().validation_error(code, *args)
        left = self._tries_left() if code == "email_password_mismatch" else None
        if left is None or left > TRIES_LEFT_TOLD:
            return error
        then = "Wait 15 minutes before you try again."
        if left:
            then = f"{left} {'try' if left == 1 else 'tries'} left before a 15 minute pause."
        return ValidationError(f"{error.message} {then}", code=code)

    def _tries_left(self) -> int | None:
        """Of those that one e-mail has; None before the first."""
        usage = getattr(self, "_login_failed_rl_usage", None)
        rates = ratelimit.get_rates(app="allauth.account", action="login_failed")
        for rate, used in zip(rates, usage.usage if usage else (), strict=False):
            if rate.per == "key":
                return max(0, int(rate.amount) - len(cache.get(used.cache_key, [])))
        return None

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts are created by an administrator."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Rate limits count by the address that the connection came from."""
        return client_address(request) or "0.0.0.0"

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Wrong tries are counted by account alone. allauth counts by host name too, and anybody may write that."""
        return str(credentials.get("email") or credentials.get("username") or "").lower()

    def forget_try(self) -> None:
        """The try was not wrong: it does not count."""
        self._rollback_login_failed_rl_usage()

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        events.publish(_actor(request, user), "sign-in", "user", user)
        return super().post_login(request, user, **kwargs)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        name = str(credentials.get("email") or credentials.get("username") or "")
        events.publish(_actor(request, None, name[:254]), "sign-in", "user", outcome=Event.Outcome.REFUSED)
        super().authentication_failed(request, **credentials)
