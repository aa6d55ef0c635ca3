"""People, projects, quotas, credentials, activity."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from cloudbox.common.models import Event
from identity.models import BoxRole, Project, Role, User

ROLES = Role.choices
BOX_ROLES = BoxRole.choices


class ProjectShape(serializers.Serializer):
    id = serializers.UUIDField()
    slug = serializers.CharField(help_text="The short name, as in addresses.")
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(Project.Status.choices)
    created_at = serializers.DateTimeField()


class UserShape(serializers.Serializer):
    id = serializers.UUIDField()
    email = serializers.CharField()
    name = serializers.CharField()
    box_role = serializers.ChoiceField(BOX_ROLES, allow_blank=True)
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class UserCreated(UserShape):
    password = serializers.CharField(read_only=True, help_text="Told once.")


class Password(serializers.Serializer):
    password = serializers.CharField(help_text="The new password, told once.")


class Me(serializers.Serializer):
    """Who I am to this request: the user, and what the token or session may do."""

    id = serializers.UUIDField(source="user.id")
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    theme = serializers.ChoiceField(User._meta.get_field("theme").choices, source="user.theme", allow_blank=True)  # type: ignore[arg-type]
    single_keys = serializers.BooleanField(source="user.single_keys")
    box_role = serializers.ChoiceField(BOX_ROLES, allow_blank=True, help_text="Empty for API tokens: they act in their project only.")
    project = serializers.CharField(source="project.slug", default=None, allow_null=True, help_text="The project of the token.")
    role = serializers.ChoiceField(ROLES, allow_null=True, help_text="The role of the token in its project.")


class Member(serializers.Serializer):
    user_id = serializers.UUIDField()
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.ChoiceField(ROLES)
    created_at = serializers.DateTimeField()


class QuotaShape(serializers.Serializer):
    resource = serializers.CharField()
    label = serializers.CharField()
    unit = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True, help_text="null: no limit.")
    left = serializers.IntegerField(allow_null=True)
    percent = serializers.IntegerField()


class Token(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    role = serializers.ChoiceField(ROLES)
    reaches_box = serializers.BooleanField(help_text="Does it act with its user's role on the box as well?")
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class TokenCreated(Token):
    token = serializers.CharField(read_only=True, help_text="The token itself, told once.")


class AccessKeyShape(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    is_active = serializers.BooleanField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class AccessKeyCreated(AccessKeyShape):
    secret = serializers.CharField(read_only=True, help_text="The secret, told once.")


class EventShape(serializers.Serializer):
    """One line of the audit log."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    actor_id = serializers.UUIDField(allow_null=True)
    verb = serializers.CharField()
    noun = serializers.CharField()
    subject = serializers.CharField()
    subject_id = serializers.UUIDField(allow_null=True)
    project_id = serializers.UUIDField(allow_null=True)
    api = serializers.CharField(help_text="Through which door.")
    address = serializers.CharField(allow_null=True)
    outcome = serializers.ChoiceField(Event.Outcome.choices)
    detail = serializers.CharField()
    request_id = serializers.CharField()
    sealed = serializers.SerializerMethodField(help_text="Is it in the hash chain yet?")

    def get_sealed(self, row: Any) -> bool:
        return row.chain is not None


class Chain(serializers.Serializer):
    """The verdict on the audit log's hash chain."""

    ok = serializers.BooleanField()
    checked = serializers.IntegerField(help_text="How many rows hold.")
    broken_at = serializers.IntegerField(allow_null=True, help_text="The event that was changed, or follows one that is gone.")
