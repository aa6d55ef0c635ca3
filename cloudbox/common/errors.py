"""What can go wrong, as meanings. Pure Python: drivers and engines raise these, dialects translate them.

`message` is a sentence for the tenant: what happened and what to do. The cause chain is for the log.
"""

from __future__ import annotations


class CloudError(Exception):
    """The root of every error that a caller is told about."""

    def __init__(self, message: str, *, resource: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.resource = resource
        self.field = field

    def __str__(self) -> str:
        return self.message


class Unauthenticated(CloudError):
    """Nobody is signed in, or the credential is not good."""


class Forbidden(CloudError):
    """Known, but the role does not reach that far."""


class NotFound(CloudError):
    """There is no such thing, or it belongs to a stranger: the two look the same."""


class AlreadyExists(CloudError):
    """The name is taken."""


class Invalid(CloudError):
    """The request does not make sense; `field` names the part."""


class Conflict(CloudError):
    """The thing is in a state that does not allow this now."""


class PreconditionFailed(CloudError):
    """The caller's condition on the present state does not hold."""


class QuotaExceeded(CloudError):
    """The project may not use that much."""


class InsufficientCapacity(CloudError):
    """The box has no room left."""


class TooLarge(CloudError):
    """The body or the number is over a limit."""


class NotSupported(CloudError):
    """Cloudbox does not do this, and says so."""


class Unavailable(CloudError):
    """Something the box depends on did not answer; the only error that may be retried."""
