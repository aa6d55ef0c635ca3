"""The box as a whole: projects, users, sizes, health, the audit log. For administrators; support may look."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import flavors, health, images, instances, progress
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import box, compute, storage
from dashboard.api.render import identity as render
from dashboard.api.views.account import ActivityQuery, ProjectQuery
from dashboard.api.views.buckets import BucketQuery
from dashboard.api.views.instances import InstanceQuery
from identity import activity, projects, quotas, users
from storage import buckets
from storage import health as store


class HostsView(ApiView):
    @listing("admin_hosts_list", "Hosts and what of them is given away", of=box.HostShape, query=None, tag="admin")
    def get(self, request: Request) -> Response:
        return self.list_all(health.hosts(self.ctx), box.HostShape)


class HealthView(ApiView):
    @listing("admin_health_list", "Every part that must work, with the evidence", of=box.ComponentShape, query=None, tag="admin")
    def get(self, request: Request) -> Response:
        return self.list_all([*health.components(self.ctx), *store.components(self.ctx)], box.ComponentShape)


class AuditView(ApiView):
    @listing("admin_audit_list", "What happened in the whole box, newest first", of=render.EventShape, query=ActivityQuery, tag="admin")
    def get(self, request: Request) -> Response:
        query = self.query(ActivityQuery)
        filters = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
        return self.list_page(activity.list(self.ctx, all_projects=True, **filters), render.EventShape, query)


class AuditChainView(ApiView):
    @operation("admin_audit_verify", "Check the seal of every row of the audit log", answer=render.Chain, tag="admin")
    def get(self, request: Request) -> Response:
        return self.show(activity.verify(self.ctx), render.Chain)


class AllInstancesView(ApiView):
    @listing("admin_instances_list", "Instances of all projects", of=compute.InstanceShape, query=InstanceQuery, tag="admin")
    def get(self, request: Request) -> Response:
        query = self.query(InstanceQuery)
        filters = {name: query[name] for name in ("q", "status", "tag", "sort")}
        return self.list_page(instances.list(self.ctx, all_projects=True, **filters), compute.InstanceShape, query)

    def rendering(self, rows: Any) -> dict[str, Any]:
        return {"ctx": self.ctx, "progress": progress.of(rows)}


class AllBucketsView(ApiView):
    @listing("admin_buckets_list", "Buckets of all projects, with what they hold", of=storage.BucketShape, query=BucketQuery, tag="admin")
    def get(self, request: Request) -> Response:
        query = self.query(BucketQuery)
        return self.list_page(buckets.list_all(self.ctx, q=query["q"]), storage.BucketShape, query)


class AllImagesView(ApiView):
    @listing("admin_images_list", "Images of all projects and of the catalogue", of=compute.ImageShape, tag="admin")
    def get(self, request: Request) -> Response:
        return self.list_page(images.list(self.ctx, all_projects=True), compute.ImageShape, self.query(PageQuery))


class ProjectCreate(Input):
    name = Text(max_length=64)
    slug = Text(default="", allow_blank=True, max_length=40, help_text="The short name; empty: made from the name.")
    owner_email = Text(default="", allow_blank=True, max_length=254, help_text="Becomes its admin.")
    description = Text(default="", allow_blank=True)


class AllProjectsView(ApiView):
    @listing("admin_projects_list", "All projects", of=render.ProjectShape, query=ProjectQuery, tag="admin")
    def get(self, request: Request) -> Response:
        query = self.query(ProjectQuery)
        return self.list_page(projects.list(self.ctx, all=True, q=query["q"]), render.ProjectShape, query)

    @operation(
        "admin_projects_create",
        "Make a project",
        answer=render.ProjectShape,
        status=201,
        body=ProjectCreate,
        example={"name": "Web shop", "owner_email": "ada@example.org"},
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        row = projects.create(self.ctx, **self.body(ProjectCreate))
        return self.show(row, render.ProjectShape, status=201, location=f"/api/v1/projects/{row.slug}")


class SuspendProjectView(ApiView):
    @operation(
        "admin_projects_suspend", "Nothing in it can be changed; what runs goes on", answer=render.ProjectShape, status=202, tag="admin"
    )
    def post(self, request: Request, slug: str) -> Response:
        self.body(Input)
        self.ctx.require("projects.suspend")
        row = projects.get(self.ctx, slug)
        projects.suspend(self.ctx, row)
        return self.show(row, render.ProjectShape, status=202)


class ResumeProjectView(ApiView):
    @operation("admin_projects_resume", "Let it be changed again", answer=render.ProjectShape, status=202, tag="admin")
    def post(self, request: Request, slug: str) -> Response:
        self.body(Input)
        self.ctx.require("projects.suspend")
        row = projects.get(self.ctx, slug)
        projects.resume(self.ctx, row)
        return self.show(row, render.ProjectShape, status=202)


class QuotaLimits(Input):
    """A limit each; null: none; left out: as it was."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {
            name: Whole(required=False, allow_null=True, max_value=quotas.LIMIT_MAX, help_text=about.unit)
            for name, about in quotas.RESOURCES.items()
        }


class ProjectQuotasView(ApiView):
    @operation(
        "admin_projects_set_quotas",
        "Set limits of a project",
        status=204,
        body=QuotaLimits,
        example={"instances": 20, "ports": None},
        tag="admin",
    )
    def patch(self, request: Request, slug: str) -> Response:
        self.ctx.require("quotas.set")
        quotas.set_limits(self.ctx, projects.get(self.ctx, slug), self.body(QuotaLimits))
        return self.nothing()


class UserQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the e-mail or the name.")


class UserCreate(Input):
    email = Text(max_length=254)
    name = Text(default="", allow_blank=True, max_length=120)
    password = Text(default="", allow_blank=True, max_length=200, help_text="Empty: one is made.")
    box_role = serializers.ChoiceField(render.BOX_ROLES, default="", allow_blank=True)


class UsersView(ApiView):
    @listing("admin_users_list", "The people of the box", of=render.UserShape, query=UserQuery, tag="admin")
    def get(self, request: Request) -> Response:
        query = self.query(UserQuery)
        return self.list_page(users.list(self.ctx, q=query["q"]), render.UserShape, query)

    @operation(
        "admin_users_create",
        "Make an account; the password is told once",
        answer=render.UserCreated,
        status=201,
        body=UserCreate,
        example={"email": "ada@example.org", "name": "Ada"},
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        row, password = users.create(self.ctx, **self.body(UserCreate))
        return self.show(row, render.UserShape, status=201, location=f"{request.path}/{row.id}", password=password)


class UserView(ApiView):
    @operation("admin_users_get", "One account", answer=render.UserShape, tag="admin")
    def get(self, request: Request, id: UUID) -> Response:
        return self.show(users.get(self.ctx, id), render.UserShape)


class SuspendUserView(ApiView):
    @operation("admin_users_suspend", "No more sign-in; tokens stop to work", answer=render.UserShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        self.ctx.require("users.manage")
        row = users.get(self.ctx, id)
        users.suspend(self.ctx, row)
        return self.show(row, render.UserShape, status=202)


class ResumeUserView(ApiView):
    @operation("admin_users_resume", "Let the user sign in again", answer=render.UserShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        self.ctx.require("users.manage")
        row = users.get(self.ctx, id)
        users.resume(self.ctx, row)
        return self.show(row, render.UserShape, status=202)


class UserPasswordView(ApiView):
    @operation(
        "admin_users_reset_password", "Give the user a new password; ends every session", answer=render.Password, status=201, tag="admin"
    )
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        self.ctx.require("users.manage")
        return Response({"password": users.reset_password(self.ctx, users.get(self.ctx, id))}, status=201)


class FlavorCreate(Input):
    name = Text(max_length=64)
    vcpus = Whole(min_value=1, max_value=flavors.VCPUS_MAX)
    memory_mib = Whole(min_value=flavors.MEMORY_MIB_RANGE[0], max_value=flavors.MEMORY_MIB_RANGE[1])
    disk_gib = Whole(min_value=1, max_value=flavors.DISK_GIB_MAX)
    sort = Whole(default=100, max_value=32767)


class AllFlavorsView(ApiView):
    @listing("admin_flavors_list", "All sizes, with those no longer offered", of=compute.FlavorShape, tag="admin")
    def get(self, request: Request) -> Response:
        self.ctx.require("box.look")
        return self.list_page(flavors.list(self.ctx, retired=True), compute.FlavorShape, self.query(PageQuery))

    @operation(
        "admin_flavors_create",
        "Offer a new size",
        answer=compute.FlavorShape,
        status=201,
        body=FlavorCreate,
        example={"name": "m1.small", "vcpus": 1, "memory_mib": 2048, "disk_gib": 20},
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        row = flavors.create(self.ctx, **self.body(FlavorCreate))
        return self.show(row, compute.FlavorShape, status=201, location=f"/api/v1/flavors/{row.id}")


class RetireFlavorView(ApiView):
    @operation("admin_flavors_retire", "No new instances of this size", answer=compute.FlavorShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        return self.show(flavors.retire(self.ctx, id), compute.FlavorShape, status=202)


class RestoreFlavorView(ApiView):
    @operation("admin_flavors_restore", "Offer this size again", answer=compute.FlavorShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        return self.show(flavors.restore(self.ctx, id), compute.FlavorShape, status=202)
