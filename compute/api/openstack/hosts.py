"""The host's id, which the services that speak of hosts share."""

from __future__ import annotations

import uuid


def id_of(name: str) -> str:
    """Made from its name, so that it never changes."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
