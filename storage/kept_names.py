"""The names of buckets and the sealed keys of projects, as they are kept on the drives for the day when PostgreSQL is gone.

Plain SQL, since the offline tool asks the same without the rest of the house. See storage/offline/names.py for the form.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from django.db import connection

from cloudbox.common import clock

_BUCKETS = """
SELECT b.id, b.name, b.project_id, p.name, b.storage_class
FROM storage_bucket b JOIN identity_project p ON p.id = b.project_id ORDER BY b.id
"""
_KEYS = """
SELECT v.key_id, v.number, k.name, v.sealed_secret FROM storage_encryptionkeyversion v JOIN storage_encryptionkey k ON k.id = v.key_id
ORDER BY v.key_id, v.number
"""


def facts() -> dict[str, Any]:
    """What is to be kept, without the time: two answers are equal if nothing has changed. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_BUCKETS)
        buckets = [
            {"id": str(id), "name": name, "project": str(project), "project_name": called, "class": storage_class}
            for id, name, project, called, storage_class in cursor.fetchall()
        ]
        cursor.execute(_KEYS)
        keys = [
            {"id": str(id), "number": number, "name": name, "sealed": base64.b64encode(bytes(sealed)).decode()}
            for id, number, name, sealed in cursor.fetchall()
        ]
    return {"format": 1, "buckets": buckets, "keys": keys}


def document(found: dict[str, Any]) -> bytes:
    """As a file."""
    return json.dumps({"written": clock.now().isoformat(), **found}, ensure_ascii=False).encode()
