"""How a person's page, a REST request or a job reaches the object store: S3, with credentials of a few minutes that can do what they can.

Objects are written by the data plane alone, so whatever touches them goes through its front door and is judged there like any
client's request: by role, policy, ACL and locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from cloudbox.common.errors import Forbidden
from cloudbox.common.object_client import ObjectClient, endpoint
from cloudbox.common.object_signing import Keys
from identity import temporary
from identity.context import Context
from identity.models import BoxRole
from storage.models import Bucket

SECONDS = 15 * 60


def of(ctx: Context) -> ObjectClient:
    """Acts as who asks, in their project. Raises Forbidden for support, who is no member, and NotSupported without a store."""
    if ctx.role is None and ctx.box_role != BoxRole.ADMIN:
        raise Forbidden("Your role may look at buckets, and not into them. Ask a member of the project.")
    made = temporary.issue(user=ctx.needed_user.id, project=ctx.project_id, seconds=SECONDS, role=ctx.role or "")
    return ObjectClient(endpoint(), lambda: Keys(made.access_key, made.secret_key, made.session_token))


def of_user(user: UUID, project: UUID, *, role: str = "") -> ObjectClient:
    """For a job that goes on for somebody who has left: it can do what they can, as long as they can."""
    return _renewing(lambda: temporary.issue(user=user, project=project, seconds=SECONDS, role=role))


def of_service(project_id: UUID) -> ObjectClient:
    """For a job that somebody with the right to it has asked for."""
    return _renewing(lambda: temporary.issue_for_service(project=project_id, seconds=SECONDS))


def _renewing(issue: Callable[[], temporary.Temporary]) -> ObjectClient:
    """Its keys are renewed as long as it works; not with each request, since the data plane has to look up each it has not seen."""
    kept: list[temporary.Temporary] = []

    def keys() -> Keys:
        if not kept or kept[0].expires_at < time.time() + SECONDS / 2:
            kept[:] = [issue()]
        return Keys(kept[0].access_key, kept[0].secret_key, kept[0].session_token)

    return ObjectClient(endpoint(), keys)


def s3_name(bucket: Bucket) -> str:
    """What S3 calls it: its name, or "<project>:<name>" where the name is only the project's (Ceph's way to name tenants' buckets)."""
    return bucket.name if bucket.shared_name else f"{bucket.project.slug}:{bucket.name}"
