"""Accounts: which containers there are, metadata, keys, quotas."""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction

from cloudbox.common import events
from identity.context import Context
from storage import buckets
from storage.api.swift import acls, headers, listings
from storage.api.swift.acls import OWNS, AclInvalid
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.listings import Row
from storage.engine import STORAGE_CLASSES
from storage.models import AccountSettings, Bucket
from storage.server import Response

NANO = 1_000_000_000
SECRET = ("temp-url-key", "temp-url-key-2")


async def get(call: Call) -> Response:
    """GET and HEAD."""
    call.allow_account()
    limit = listings.limit_of(call)
    rows = await call.verb(_rows)
    plane = call.plane
    usages = {id: plane.store.usage(id) for _, id, _, _ in rows}
    found = {
        "X-Account-Container-Count": str(len(rows)),
        "X-Account-Object-Count": str(sum(usage.objects for usage in usages.values())),
        "X-Account-Bytes-Used": str(sum(usage.bytes for usage in usages.values())),
        "X-Timestamp": headers.timestamp(min((created for _, _, created, _ in rows), default=0)),
        "Accept-Ranges": "bytes",
        **({"X-Account-Project-Domain-Id": call.account.domain} if call.account and call.account.domain else {}),
        **_meta(call),
    }
    for policy in {storage_class for _, _, _, storage_class in rows}:
        of = [usages[id] for _, id, _, storage_class in rows if storage_class == policy]
        prefix = f"X-Account-Storage-Policy-{policy.title()}"
        found[f"{prefix}-Container-Count"] = str(len(of))
        found[f"{prefix}-Object-Count"] = str(sum(usage.objects for usage in of))
        found[f"{prefix}-Bytes-Used"] = str(sum(usage.bytes for usage in of))
    if call.method == "HEAD":
        kind = listings.kind_of(call)[1]
        return Response(204, found | {"Content-Type": f"{kind}; charset=utf-8"})
    page: list[Row] = []
    for entry in _select(call, sorted(rows, key=lambda row: row[0].encode()), limit):
        if isinstance(entry, str):
            page.append({"subdir": entry})
        else:
            name, id, created, _ = entry
            usage = usages[id]
            page.append({"name": name, "count": usage.objects, "bytes": usage.bytes, "last_modified": headers.iso(created)})
    return listings.answer(call, page, found, root="account", name=call.account_name, element="container")


def _rows(ctx: Context) -> list[tuple[str, Any, int, str]]:
    found = Bucket.objects.filter(project=ctx.project).values_list("name", "id", "created_at", "storage_class")
    return [(name, id, int(created.timestamp() * 1_000_000) * 1000, kind) for name, id, created, kind in found]


def _select(call: Call, rows: list[tuple[str, Any, int, str]], limit: int) -> list[Any]:
    """The rows (or names of rolled-up ones) that the query asks for."""
    query = call.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    marker, end = query.get("marker", "").encode(), query.get("end_marker", "").encode()
    reverse = listings.reverse_of(call)
    if reverse:
        rows = rows[::-1]
    found: list[Any] = []
    for row in rows:
        name = row[0]
        if not name.startswith(prefix) or len(found) >= limit:
            continue
        entry: Any = row
        if delimiter and (at := name.find(delimiter, len(prefix))) >= 0:
            name = entry = name[: at + len(delimiter)]
        raw = name.encode()
        if marker and (raw >= marker if reverse else raw <= marker):
            continue
        if end and (raw <= end if reverse else raw >= end):
            continue
        if isinstance(entry, str) and found and found[-1] == entry:
            continue
        found.append(entry)
    return found


def _meta(call: Call) -> dict[str, str]:
    documents = call.account.documents if call.account else {}
    meta = {name: value for name, value in documents.get("meta", {}).items() if call.is_owner or name not in SECRET}
    found = headers.shown("Account", meta)
    if "quota_bytes" in documents:
        found["X-Account-Meta-Quota-Bytes"] = found["X-Account-Quota-Bytes"] = str(documents["quota_bytes"])
    if "quota_objects" in documents:
        found["X-Account-Quota-Count"] = str(documents["quota_objects"])
    for policy in STORAGE_CLASSES:
        for kind, name in _QUOTAS.items():
            if (limit := documents.get(f"{name} {policy}")) is not None:
                found[f"X-Account-Quota-{kind.title()}-Policy-{policy.title()}"] = str(limit)
    if call.is_owner and documents.get("access"):
        found["X-Account-Access-Control"] = json.dumps(documents["access"], separators=(",", ":"), sort_keys=True)
    return found


async def post(call: Call) -> Response:
    call.allow_account(OWNS)
    assert call.account is not None
    change = _changes(call)
    headers.metadata(call.headers, "account", known=call.account.documents.get("meta", {}))
    await call.verb(_store, dict(call.headers), change)
    return Response(204, {"Content-Type": "text/html; charset=UTF-8"})


_QUOTAS = {"bytes": "quota_bytes", "count": "quota_objects"}


def _changes(call: Call) -> dict[str, Any]:
    """What is set beside the metadata: quotas, the access list, how ETags are written. None removes."""
    given = call.headers
    found: dict[str, Any] = dict(_quotas(call))
    if "x-account-access-control" in given:
        try:
            found["access"] = acls.clean_account(given["x-account-access-control"]) or None
        except AclInvalid as error:
            raise SwiftError(400, f"X-Account-Access-Control: {error}") from error
    if "x-account-rfc-compliant-etags" in given:
        found["rfc_etags"] = headers.flag_of(given["x-account-rfc-compliant-etags"])
    return found


def _quotas(call: Call) -> dict[str, int | None]:
    """New quotas of the account, of all its containers or of those of one policy, None to remove one.

    They are for administrators of the box and ResellerAdmins to set. Public document: "Account Quotas" in Swift's middleware
    documentation.
    """
    found: dict[str, int | None] = {}
    for header, value in call.headers.items():
        removes = header.startswith("x-remove-account-")
        name = header.removeprefix("x-remove-account-").removeprefix("x-account-").removeprefix("meta-")
        if header == name or not name.startswith("quota-"):
            continue
        if call.bearer is None or not call.bearer.everywhere:
            raise SwiftError(403, "The quotas of an account are set by an administrator of the box.")
        kind, _, policy = name.removeprefix("quota-").partition("-policy-")
        if kind not in _QUOTAS or (policy and policy not in STORAGE_CLASSES):
            raise SwiftError(400, f"There are quotas of bytes and count, also -policy-<one of {', '.join(STORAGE_CLASSES)}>.")
        if not removes and value and (not value.isdecimal() or len(value) > 18):
            raise SwiftError(400, "Invalid quota.")
        found[_QUOTAS[kind] + (f" {policy}" if policy else "")] = None if removes or not value else int(value)
    return found


def _store(ctx: Context, given: dict[str, str], change: dict[str, Any]) -> None:
    with transaction.atomic():
        row, _ = AccountSettings.objects.select_for_update().get_or_create(project=ctx.project)
        documents = {**row.documents, **change}
        meta = headers.metadata(given, "account", known=documents.get("meta", {}))
        documents["meta"] = {name: value for name, value in meta.items() if not name.startswith("quota-")}
        row.documents = {name: value for name, value in documents.items() if value is not None}
        row.save()
        events.publish(ctx.actor, "configure", "account", project_id=ctx.project_id, detail=", ".join(["metadata", *sorted(change)]))
    buckets.generations().bump(f"project {ctx.project_id.hex}")
