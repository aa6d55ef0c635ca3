"""The tables of storage: buckets with their configuration, encryption keys, usage. Objects are not here: the engine keeps them."""

from storage.models.accounts import AccountSettings
from storage.models.buckets import Bucket, BucketUsage
from storage.models.drives import DriveOrder, StoreDrive, StoreRounds
from storage.models.keys import EncryptionKey, EncryptionKeyVersion

__all__ = ["AccountSettings", "Bucket", "BucketUsage", "DriveOrder", "EncryptionKey", "EncryptionKeyVersion", "StoreDrive", "StoreRounds"]
