"""The tables of identity."""

from identity.models.credentials import AccessKey, ApiToken
from identity.models.people import BoxRole, Domain, Membership, Project, Role, User
from identity.models.quotas import Quota
from identity.models.views import SavedView

__all__ = ["AccessKey", "ApiToken", "BoxRole", "Domain", "Membership", "Project", "Quota", "Role", "SavedView", "User"]
