"""The life of a backup, and the way from a vault's row to what lies in its bucket."""

from __future__ import annotations

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from cloudbox.common.errors import Conflict
from cloudbox.common.states import Machine
from compute.backup_store import repository as repositories
from compute.backup_store.format import Codec
from compute.backup_store.repository import Repository
from compute.models import Backup, BackupVault

S = Backup.Status

MOVES: dict[str, frozenset[str]] = {
    S.CREATING: frozenset({S.READY, S.ERROR}),
    S.READY: frozenset({S.DELETING, S.ERROR}),
    S.ERROR: frozenset({S.DELETING}),
    S.DELETING: frozenset({S.DELETED, S.ERROR}),
    S.DELETED: frozenset(),
}


def _nothing_more(row: Backup, before: str, after: str) -> None:
    """Backups lie in a bucket, which is billed for them."""


machine = Machine(noun="backup", model=Backup, moves=MOVES, on_move=_nothing_more)


def open_vault(vault: BackupVault) -> Repository:
    """What lies in the bucket. Conflict: this box can no longer read its key."""
    key = unsealed(bytes(vault.sealed_key)) if vault.sealed_key is not None else None
    return Repository(repositories.store_of(vault.project_id), vault.bucket, vault.prefix, Codec(key))


def sealed(key: bytes) -> bytes:
    """The key of a vault as this box keeps it, so that backups go on while nobody types a passphrase."""
    return _fernet().encrypt(key)


def unsealed(text: bytes) -> bytes:
    try:
        return _fernet().decrypt(text)
    except InvalidToken as error:
        raise Conflict("This box cannot read the vault's key. Forget the vault, and add it again with its passphrase.") from error


@cache
def _fernet() -> Fernet:
    master = base64.urlsafe_b64decode(settings.MASTER_KEY_FILE.read_bytes().strip())
    return Fernet(base64.urlsafe_b64encode(HKDF(hashes.SHA256(), 32, salt=None, info=b"cloudbox compute backup vaults").derive(master)))
