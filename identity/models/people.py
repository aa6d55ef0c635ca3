"""Users, domains, projects, and who belongs to what."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from cloudbox.common import clock


class BoxRole(models.TextChoices):
    """What a user may do to the box as a whole."""

    NONE = "", "User"
    SUPPORT = "support", "Support"  # may look at everything, may touch nothing
    ADMIN = "admin", "Administrator"


class Role(models.TextChoices):
    """What a member may do in a project; each role includes those before it."""

    READER = "reader", "Reader"
    MEMBER = "member", "Member"
    ADMIN = "admin", "Admin"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, box_role=BoxRole.ADMIN, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class Domain(models.Model):
    """A namespace of users and projects, as Keystone has it; every box has `default`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=255, blank=True)
    is_enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class User(AbstractBaseUser):
    """A person, or a robot with a password of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, null=True)
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=120, blank=True)
    # What OpenStack's clients call the user, where that is not the e-mail. Unique in its domain, whatever the case.
    login = models.CharField(max_length=255, blank=True)
    description = models.CharField(max_length=255, blank=True)
    # The project of tokens that name no scope.
    default_project = models.ForeignKey("Project", on_delete=models.SET_NULL, null=True, related_name="+")
    # Tokens from before are void. A trigger moves it with the password, whichever door changed that.
    tokens_since = models.DateTimeField(default=clock.now)
    box_role = models.CharField(max_length=8, choices=BoxRole.choices, default=BoxRole.NONE, blank=True)
    is_active = models.BooleanField(default=True)
    theme = models.CharField(max_length=6, blank=True, choices=[("", "System"), ("light", "Light"), ("dark", "Dark")])
    single_keys = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
            models.UniqueConstraint(Lower("login"), "domain", condition=~models.Q(login=""), name="user_login_unique"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def login_name(self) -> str:
        """What the user signs in as in OpenStack's clients."""
        return self.login or self.email

    @property
    def initials(self) -> str:
        words = (self.name or self.email.split("@")[0].replace(".", " ")).split()
        return "".join(word[0] for word in words[:2]).upper() or "?"

    @property
    def is_staff(self) -> bool:
        """Django's and allauth's word for it."""
        return self.box_role == BoxRole.ADMIN

    @property
    def is_superuser(self) -> bool:
        return self.box_role == BoxRole.ADMIN

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_superuser


class Project(models.Model):
    """What owns resources, is measured and pays; an AWS account to AWS clients."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        DELETED = "deleted", "Deleted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT)
    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="projects")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "name"], name="project_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.name.split()[:2]).upper() or "?"


class Membership(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "project"], name="membership_unique")]
