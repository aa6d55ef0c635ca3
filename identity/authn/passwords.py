"""A password and, where the user has one, a second factor: checked with the same counters of wrong tries as the portal's sign-in."""

from __future__ import annotations

from collections.abc import Sequence

from allauth.account.adapter import get_adapter as account_adapter
from allauth.mfa.adapter import get_adapter as mfa_adapter
from allauth.mfa.models import Authenticator
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from cloudbox.common.errors import Unauthenticated
from identity.models import User

WRONG = "That user, name or password is not right."


class SecondFactorNeeded(Unauthenticated):
    """The password is right, and not enough. `possible` says whether a one-time code would do."""

    def __init__(self, message: str, *, user: User, possible: bool) -> None:
        super().__init__(message)
        self.user = user
        self.possible = possible


def check(
    request: HttpRequest, *, name: str, user: User | None, password: str | None, passcode: str | None, shown: Sequence[str] = ()
) -> User:
    """The user, if all that is needed was shown; else Unauthenticated, which counts as a wrong try unless nothing shown was wrong.

    `name` is what was typed, for the counter and the audit log; `user` who is called so, if anybody. `shown` are methods that a
    receipt proves already.
    """
    adapter = account_adapter(request)
    # The e-mail is what the portal counts by: so both doors share one counter.
    email = user.email if user is not None else name
    try:
        adapter.pre_authenticate(request, email=email)
    except ValidationError as error:
        raise Unauthenticated("Too many tries were wrong. Wait 15 minutes.") from error
    right = user is not None and user.is_active
    if password is not None:
        # Also for a name that nobody has: an answer that comes sooner would tell.
        found = authenticate(request, email=email, password=password)
        right = right and found is not None and found.pk == user.pk  # type: ignore[union-attr]
        # Its hash may just have been renewed with better parameters.
        user = found if right and isinstance(found, User) else user
    elif "password" not in shown:
        right = False
    if right and passcode is not None:
        assert user is not None
        totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
        right = totp is not None and totp.wrap().validate_code(passcode)
    if not right or user is None:
        adapter.authentication_failed(request, email=name)
        raise Unauthenticated(WRONG)
    adapter.forget_try()
    if passcode is None and "totp" not in shown and mfa_adapter().is_mfa_enabled(user):
        possible = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()
        more = "Send the code of the app with the method totp" if possible else "A security key does not work here"
        raise SecondFactorNeeded(
            f"This account has a second factor. {more}, or use an application credential (an API token of the portal).",
            user=user,
            possible=possible,
        )
    return user


def count_failure(request: HttpRequest, *, name: str) -> None:
    """A wrong secret of another kind than a password: it counts by address and name, and leaves a row in the audit log."""
    adapter = account_adapter(request)
    try:
        adapter.pre_authenticate(request, email=name)
    except ValidationError as error:
        raise Unauthenticated("Too many tries were wrong. Wait 15 minutes.") from error
    adapter.authentication_failed(request, email=name)
