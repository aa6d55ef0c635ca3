"""Who I am, and my projects with their members, quota and activity."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common.models import Event
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import identity as render
from identity import activity, projects, quotas, users


class MeChange(Input):
    name = Text(required=False, allow_blank=True, max_length=120)
    theme = serializers.ChoiceField(["", "light", "dark"], required=False)
    single_keys = Flag(required=False)


class MeView(ApiView):
    @operation("me_get", "Who I am", answer=render.Me)
    def get(self, request: Request) -> Response:
        return self.show(self.ctx, render.Me)

    @operation("me_update", "Change what I am called and how pages look to me", answer=render.Me, body=MeChange, example={"theme": "dark"})
    def patch(self, request: Request) -> Response:
        users.update_me(self.ctx, **self.body(MeChange))
        return self.show(self.ctx, render.Me)


class ProjectQuery(PageQuery):
    q = serializers.CharField(required=False, max_length=100, default="", allow_blank=True, help_text="In the name.")


class ProjectsView(ApiView):
    @listing("projects_list", "My projects; to a token, those of its user", of=render.ProjectShape, query=ProjectQuery)
    def get(self, request: Request) -> Response:
        query = self.query(ProjectQuery)
        return self.list_page(projects.list(self.ctx, q=query["q"]), render.ProjectShape, query)


class ProjectChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class ProjectView(ApiView):
    @operation("projects_get", "One project", answer=render.ProjectShape)
    def get(self, request: Request, project: str) -> Response:
        self.ctx.require("projects.get")
        return self.show(self.ctx.project, render.ProjectShape)

    @operation(
        "projects_update", "Rename or describe a project", answer=render.ProjectShape, body=ProjectChange, example={"name": "Web shop"}
    )
    def patch(self, request: Request, project: str) -> Response:
        assert self.ctx.project is not None
        return self.show(projects.update(self.ctx, self.ctx.project, **self.body(ProjectChange)), render.ProjectShape)


class QuotasView(ApiView):
    @listing("quotas_list", "What the project uses and may use", of=render.QuotaShape, query=None)
    def get(self, request: Request, project: str) -> Response:
        return self.list_all(quotas.lines(self.ctx), render.QuotaShape)


class ActivityQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the thing, the actor and the detail.")
    verb = serializers.CharField(max_length=64, default="", allow_blank=True)
    actor = serializers.CharField(max_length=254, default="", allow_blank=True, help_text="An e-mail.")
    outcome = serializers.ChoiceField(Event.Outcome.choices, default="", allow_blank=True)
    api = serializers.CharField(max_length=16, default="", allow_blank=True, help_text="portal, rest, cli, console, system.")
    subject_id = serializers.UUIDField(required=False, help_text="What was done to this thing.")


class ActivityView(ApiView):
    @listing("activity_list", "What happened, newest first", of=render.EventShape, query=ActivityQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(ActivityQuery)
        filters = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
        return self.list_page(activity.list(self.ctx, **filters), render.EventShape, query)


class MemberAdd(Input):
    email = Text(max_length=254)
    role = serializers.ChoiceField(render.ROLES, default="member")


class MemberChange(Input):
    role = serializers.ChoiceField(render.ROLES)


class MembersView(ApiView):
    @listing("members_list", "Who belongs to the project", of=render.Member)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(projects.members(self.ctx), render.Member, self.query(PageQuery))

    @operation(
        "members_add",
        "Bring somebody with an account into the project",
        answer=render.Member,
        status=201,
        body=MemberAdd,
        example={"email": "ada@example.org", "role": "member"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = projects.add_member(self.ctx, **self.body(MemberAdd))
        return self.show(row, render.Member, status=201, location=f"{request.path}/{row.user_id}")


class MemberView(ApiView):
    @operation("members_set_role", "Give a member another role", status=204, body=MemberChange, example={"role": "reader"}, tag="members")
    def patch(self, request: Request, project: str, user_id: UUID) -> Response:
        projects.set_role(self.ctx, user_id, **self.body(MemberChange))
        return self.nothing()

    @operation("members_remove", "Take a member out of the project", status=204)
    def delete(self, request: Request, project: str, user_id: UUID) -> Response:
        projects.remove_member(self.ctx, user_id)
        return self.nothing()
