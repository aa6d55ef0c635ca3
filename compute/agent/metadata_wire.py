"""The words between the worker, who has the rights, and its metadata process, who reads what guests send and has none.

A socket pair that keeps messages apart (SOCK_SEQPACKET); each message is JSON. The worker says `{"listen": <network>}` with a
listening socket beside it, `{"shut": <network>}`, and `{"answer": <number>, "instance": {…} | null}` or `{"answer": <number>,
"error": true}`. The process says `{"ask": <number>, "network": <id>, "ip": "<address>"}`. With `"password": "<text>"` it asks to keep
that for the instance, and hears `{"answer": <number>, "kept": <whether>}`. Either end closing ends both.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import socket
from datetime import datetime
from typing import Any
from uuid import UUID

from compute.metadata_tree import Card, InstanceMetadata

# The longest: 64 KiB of user-data in base64, with names, keys and tags. Below what a socket takes at once by default.
MESSAGE_BYTES_MAX = 200_000
ASK_BYTES_MAX = 2048


def pack(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def receive(sock: socket.socket, *, bytes_max: int) -> tuple[dict[str, Any], int | None] | None:
    """The next message, and the descriptor that came with it; None: the other end is gone. What is no message: ValueError."""
    data, descriptors, flags, _ = socket.recv_fds(sock, bytes_max, 1, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    try:
        message = json.loads(data)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or not isinstance(message, dict):
            raise ValueError("A message was cut off, or is none.")
    except ValueError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors[0] if descriptors else None


def instance_to_wire(instance: InstanceMetadata) -> dict[str, Any]:
    launched = instance.launched_at
    return dataclasses.asdict(instance) | {
        "id": str(instance.id),
        "user_data": base64.b64encode(instance.user_data).decode(),
        "launched_at": launched.isoformat() if launched else None,
    }


def instance_from_wire(wire: dict[str, Any]) -> InstanceMetadata:
    launched = wire["launched_at"]
    return InstanceMetadata(
        **wire
        | {
            "id": UUID(wire["id"]),
            "user_data": base64.b64decode(wire["user_data"]),
            "launched_at": datetime.fromisoformat(launched) if launched else None,
            "public_keys": tuple((name, line) for name, line in wire["public_keys"]),
            "security_groups": tuple(wire["security_groups"]),
            "cards": tuple(_card(card) for card in wire["cards"]),
        }
    )


def _card(wire: dict[str, Any]) -> Card:
    pairs = {name: tuple((first, second) for first, second in wire[name]) for name in ("routes", "security_groups")}
    return Card(**wire | pairs | {"dns_servers": tuple(wire["dns_servers"])})
