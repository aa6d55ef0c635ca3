"""The tables of storage: buckets with their settings, encryption keys, usage, webhooks. Objects are not here: the engine keeps them."""

from storage.models.accounts import AccountSettings
from storage.models.buckets import Bucket, BucketUsage
from storage.models.drives import DriveOrder, StoreDrive, StoreRounds
from storage.models.keys import EncryptionKey, EncryptionKeyVersion
from storage.models.usage import BucketHour, BucketTraffic
from storage.models.webhooks import EventDelivery, Webhook

__all__ = [
    "AccountSettings",
    "Bucket",
    "BucketHour",
    "BucketTraffic",
    "BucketUsage",
    "DriveOrder",
    "EncryptionKey",
    "EncryptionKeyVersion",
    "EventDelivery",
    "StoreDrive",
    "StoreRounds",
    "Webhook",
]
