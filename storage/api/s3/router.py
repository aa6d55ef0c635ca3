"""From method, bucket, key and subresource to a handler. What is not in the table is refused, never guessed."""

from __future__ import annotations

from storage.api.s3 import buckets, configuration, listings, notification, object_config, objects, post, uploads
from storage.api.s3.call import Call, Handler
from storage.api.s3.errors import S3Error

BUCKET: dict[str, dict[str, Handler]] = {
    "": {"GET": listings.list_objects, "HEAD": buckets.head, "PUT": buckets.create, "DELETE": buckets.delete, "POST": post.post_object},
    "delete": {"POST": objects.delete_objects},
    "versions": {"GET": listings.list_versions},
    "uploads": {"GET": listings.list_uploads},
    "location": {"GET": buckets.location},
    "versioning": {"GET": configuration.get_versioning, "PUT": configuration.put_versioning},
    "policy": {"GET": configuration.get_policy, "PUT": configuration.put_policy, "DELETE": configuration.delete_policy},
    "policyStatus": {"GET": configuration.get_policy_status},
    "acl": {"GET": configuration.get_acl, "PUT": configuration.put_acl},
    "publicAccessBlock": {
        "GET": configuration.get_public_block,
        "PUT": configuration.put_public_block,
        "DELETE": configuration.delete_public_block,
    },
    "ownershipControls": {
        "GET": configuration.get_ownership,
        "PUT": configuration.put_ownership,
        "DELETE": configuration.delete_ownership,
    },
    "cors": {"GET": configuration.get_cors, "PUT": configuration.put_cors, "DELETE": configuration.delete_cors},
    "tagging": {"GET": configuration.get_tagging, "PUT": configuration.put_tagging, "DELETE": configuration.delete_tagging},
    "encryption": {"GET": configuration.get_encryption, "PUT": configuration.put_encryption, "DELETE": configuration.delete_encryption},
    "object-lock": {"GET": configuration.get_lock, "PUT": configuration.put_lock},
    "lifecycle": {"GET": configuration.get_lifecycle, "PUT": configuration.put_lifecycle, "DELETE": configuration.delete_lifecycle},
    "website": {"GET": configuration.get_website, "PUT": configuration.put_website, "DELETE": configuration.delete_website},
    "requestPayment": {"GET": configuration.get_payment, "PUT": configuration.put_payment},
    "accelerate": {"GET": configuration.get_accelerate},
    "logging": {"GET": configuration.get_logging, "PUT": configuration.put_logging},
    "notification": {"GET": notification.get, "PUT": notification.put},
    "replication": {"GET": configuration.get_replication},
}
OBJECT: dict[str, dict[str, Handler]] = {
    "": {"GET": objects.get_object, "HEAD": objects.get_object, "PUT": objects.put_object, "DELETE": objects.delete_object},
    "acl": {"GET": object_config.get_acl, "PUT": object_config.put_acl},
    "tagging": {"GET": object_config.get_tagging, "PUT": object_config.put_tagging, "DELETE": object_config.delete_tagging},
    "retention": {"GET": object_config.get_retention, "PUT": object_config.put_retention},
    "legal-hold": {"GET": object_config.get_legal_hold, "PUT": object_config.put_legal_hold},
    "attributes": {"GET": objects.get_attributes},
    "torrent": {"GET": objects.no_torrent},
    "cloudbox-replicas": {"GET": object_config.get_replicas},
    "uploads": {"POST": uploads.create},
    "uploadId": {"PUT": uploads.put_part, "POST": uploads.complete, "DELETE": uploads.abort, "GET": listings.list_parts},
}
# Of the rest of S3's interface: refused by name, so that nobody takes a listing for what they asked.
NOT_HERE = frozenset(
    "analytics intelligent-tiering inventory metrics restore select session metadataTable metadataConfiguration append "
    "metadataInventoryTable metadataJournalTable renameObject replication-metrics defaultObjectAcl abac".split()
)
SUBRESOURCES = (BUCKET.keys() | OBJECT.keys() | NOT_HERE) - {""}


def route(call: Call) -> Handler:
    """Raises NotImplemented or MethodNotAllowed, as S3Error."""
    method = call.request.method
    if not call.bucket_name:
        if method != "GET" or call.key:
            raise S3Error("MethodNotAllowed", headers={"Allow": "GET"})
        return buckets.list_buckets
    table = OBJECT if call.key else BUCKET
    name = ""
    if call.query:
        found = call.query.keys() & SUBRESOURCES
        if found:
            name = next((one for one in table if one in found), "")
            if not name or found & NOT_HERE:
                raise S3Error("NotImplemented", f"The subresource {sorted(found)[0]} is not served here.")
    methods = table[name]
    handler = methods.get(method)
    if handler is None:
        raise S3Error("MethodNotAllowed", headers={"Allow": ", ".join(sorted(methods))}, Method=method, ResourceType=name or "OBJECT")
    return handler
