"""GET /info: what is served, and the limits that hold."""

from __future__ import annotations

from typing import Any

import orjson

from storage.api.swift.call import HEADER_BYTES_MAX
from storage.engine import STORAGE_CLASSES
from storage.plane import Plane
from storage.server import Response

FILE_BYTES_MAX = 5 * 1024**3 + 2  # As every Swift has it; clients cut larger files into segments.
META_NAME_LENGTH_MAX = 128
META_VALUE_LENGTH_MAX = 256
META_COUNT_MAX = 90
META_BYTES_MAX = 4096
LISTING_MAX = 10_000
SEGMENTS_MAX = 1000
MANIFEST_BYTES_MAX = 8 << 20
SYMLINKS_MAX = 2
BULK_DELETES_MAX = 10_000
BULK_CONTAINERS_MAX = 10_000
BULK_FAILURES_MAX = 1000
DIGESTS = ("sha1", "sha256", "sha512")
TEMPURL_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


def info(plane: Plane) -> dict[str, Any]:
    policies = [{"name": name, "aliases": name, **({"default": True} if name == plane.storage_class else {})} for name in STORAGE_CLASSES]
    return {
        "swift": {
            "version": "2.38.0",
            "max_file_size": FILE_BYTES_MAX,
            "max_meta_name_length": META_NAME_LENGTH_MAX,
            "max_meta_value_length": META_VALUE_LENGTH_MAX,
            "max_meta_count": META_COUNT_MAX,
            "max_meta_overall_size": META_BYTES_MAX,
            "max_header_size": HEADER_BYTES_MAX,
            "extra_header_count": 0,
            "max_object_name_length": 1024,
            "max_account_name_length": 256,
            "max_container_name_length": 256,
            "container_listing_limit": LISTING_MAX,
            "account_listing_limit": LISTING_MAX,
            "valid_api_versions": ["v1", "v1.0"],
            "allow_account_management": False,
            "account_autocreate": True,
            "strict_cors_mode": True,
            "allow_open_expired": False,
            "policies": policies,
        },
        "account_quotas": {},
        "tempauth": {"account_acls": True},
        "etag_quoter": {"enable_by_default": False},
        "domain_remap": {"default_reseller_prefix": "AUTH"},
        "container_quotas": {},
        "bulk_delete": {"max_deletes_per_request": BULK_DELETES_MAX, "max_failed_deletes": BULK_FAILURES_MAX},
        "bulk_upload": {"max_containers_per_extraction": BULK_CONTAINERS_MAX, "max_failed_extractions": BULK_FAILURES_MAX},
        "dlo": {"max_segments": LISTING_MAX},
        "slo": {
            "max_manifest_segments": SEGMENTS_MAX,
            "max_manifest_size": MANIFEST_BYTES_MAX,
            "min_segment_size": 1,
            "yield_frequency": 10,
            "allow_async_delete": False,
        },
        "symlink": {"symloop_max": SYMLINKS_MAX, "static_links": True},
        "object_versioning": {},
        "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
        "formpost": {"allowed_digests": list(DIGESTS), "deprecated_digests": ["sha1"]},
        "tempurl": {
            "allowed_digests": list(DIGESTS),
            "deprecated_digests": ["sha1"],
            "methods": list(TEMPURL_METHODS),
            "incoming_allow_headers": [],
            "incoming_remove_headers": ["x-timestamp", "x-open-expired"],
            "outgoing_allow_headers": ["x-object-meta-public-*"],
            "outgoing_remove_headers": ["x-object-meta-*"],
        },
        "staticweb": {},
    }


def answer(plane: Plane, *, head: bool) -> Response:
    body = orjson.dumps(info(plane))
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    return Response(200, headers, length=len(body)) if head else Response(200, headers, body)
