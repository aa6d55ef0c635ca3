"""Keys and the first administrator's password: made once, readable by root and, where it must sign with them, the web."""

from __future__ import annotations

import base64
import grp
import json
import os
import secrets
from typing import Any

from cloudbox.box.paths import USER, Box, write_atomically
from cloudbox.box.shell import Failed

# No letters that look alike: people type this password from one screen into another.
ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PASSWORD_LETTERS = 20
ADMIN_FILE = "admin.json"
IMAGE_STORE_FILE = "image_store.json"


def are_made(box: Box) -> bool:
    return all((box.secrets / name).exists() for name in ("django.key", "master.key", ADMIN_FILE))


def make(box: Box, *, admin_email: str) -> None:
    """Make what is missing; never make anew what is there, since data is sealed with it."""
    box.secrets.mkdir(exist_ok=True)
    group = grp.getgrnam(USER).gr_gid
    os.chown(box.secrets, 0, group)
    box.secrets.chmod(0o750)
    for name in ("django.key", "master.key"):
        path = box.secrets / name
        if not path.exists():
            write_atomically(
                path, base64.urlsafe_b64encode(secrets.token_bytes(32 if name == "master.key" else 48)).decode() + "\n", mode=0o640
            )
            os.chown(path, 0, group)
    if not (box.secrets / ADMIN_FILE).exists():
        password = "".join(secrets.choice(ALPHABET) for _ in range(PASSWORD_LETTERS))
        # Only for root: the web needs the password's hash, which is in the database.
        write_atomically(box.secrets / ADMIN_FILE, json.dumps({"admin_email": admin_email, "admin_password": password}) + "\n", mode=0o600)


def admin(box: Box) -> dict[str, Any]:
    """{"admin_email", "admin_password"} as `up` made them; the password may have been changed in the portal since."""
    try:
        return dict(json.loads((box.secrets / ADMIN_FILE).read_text()))
    except PermissionError as error:
        raise Failed("the box's secrets are root's", remedy="run it as root: sudo bin/cloudbox …") from error


def keep_image_store(box: Box, told: dict[str, str]) -> None:
    """Another S3 for images, with its keys: only for root, as whom the worker runs. {}: none."""
    write_atomically(box.secrets / IMAGE_STORE_FILE, json.dumps(told) + "\n", mode=0o600)


def image_store(box: Box) -> dict[str, str]:
    try:
        return dict(json.loads((box.secrets / IMAGE_STORE_FILE).read_text()))
    except FileNotFoundError:
        return {}
