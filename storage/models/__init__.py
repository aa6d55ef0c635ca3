"""The tables of storage: buckets with their configuration, encryption keys, usage. Objects are not here: the engine keeps them."""

from storage.models.accounts import AccountSettings
from storage.models.buckets import Bucket, BucketUsage
from storage.models.keys import EncryptionKey, EncryptionKeyVersion

__all__ = ["AccountSettings", "Bucket", "BucketUsage", "EncryptionKey", "EncryptionKeyVersion"]
