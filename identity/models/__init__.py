"""The tables of identity."""

from identity.models.credentials import AccessKey, ApiToken, RevokedToken
from identity.models.people import BoxRole, Domain, Membership, Project, Role, User
from identity.models.quotas import Quota
from identity.models.roles import CustomGrant, CustomRole
from identity.models.views import SavedView

__all__ = [
    "AccessKey",
    "ApiToken",
    "BoxRole",
    "CustomGrant",
    "CustomRole",
    "Domain",
    "Membership",
    "Project",
    "Quota",
    "RevokedToken",
    "Role",
    "SavedView",
    "User",
]
