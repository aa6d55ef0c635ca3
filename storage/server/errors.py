"""What can go wrong while a body comes in. Dialects translate these by their meaning, or by name where they have a code for it."""

from __future__ import annotations

from cloudbox.common.errors import Invalid, TooLarge, Unavailable


class BodyTooLarge(TooLarge):
    """More bytes than the limit that holds here."""


class BodyTruncated(Invalid):
    """The client closed its side before the announced end. (S3: IncompleteBody)"""


class BodyMalformed(Invalid):
    """The chunked coding of the body breaks its grammar, so nobody can know where the next request begins."""


class BodyTooSlow(Unavailable):
    """Fewer bytes per second than the least that is served; the client may try again. (S3: RequestTimeout)"""


class ConnectionGone(Exception):
    """The client hung up while it was being answered. Nobody is left to be told: the server catches it, applications need not."""
