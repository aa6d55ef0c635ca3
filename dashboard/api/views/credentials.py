"""API tokens and access keys of the caller in a project."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import identity as render
from identity import credentials


class TokenCreate(Input):
    name = Text(max_length=64)
    role = serializers.ChoiceField(render.ROLES, default="member", help_text="At most your own role in the project.")
    reaches_box = Flag(default=False, help_text="With your role on the box as well, in every project. For programs that administer.")
    days = Whole(allow_null=True, default=None, min_value=1, max_value=credentials.DAYS_MAX, help_text="null: it does not expire.")


class TokensView(ApiView):
    @listing("tokens_list", "My API tokens in this project", of=render.Token)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(credentials.list_tokens(self.ctx), render.Token, self.query(PageQuery))

    @operation(
        "tokens_create",
        "Make an API token; its text is told once",
        answer=render.TokenCreated,
        status=201,
        body=TokenCreate,
        example={"name": "deploy", "role": "member", "days": 90},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        token, text = credentials.create_token(self.ctx, **self.body(TokenCreate))
        return self.show(token, render.Token, status=201, location=f"{request.path}/{token.id}", token=text)


class TokenView(ApiView):
    @operation("tokens_revoke", "Revoke an API token; it stops to work at once", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        credentials.revoke_token(self.ctx, id)
        return self.nothing()


class AccessKeyCreate(Input):
    name = Text(max_length=64)


class AccessKeysView(ApiView):
    @listing("access_keys_list", "My access keys in this project", of=render.AccessKeyShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(credentials.list_access_keys(self.ctx), render.AccessKeyShape, self.query(PageQuery))

    @operation(
        "access_keys_create",
        "Make an access key; its secret is told once",
        answer=render.AccessKeyCreated,
        status=201,
        body=AccessKeyCreate,
        example={"name": "backup"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        key, secret = credentials.create_access_key(self.ctx, **self.body(AccessKeyCreate))
        return self.show(key, render.AccessKeyShape, status=201, location=f"{request.path}/{key.id}", secret=secret)


class AccessKeyView(ApiView):
    @operation("access_keys_delete", "Delete an access key", status=204)
    def delete(self, request: Request, project: str, id: str) -> Response:
        credentials.delete_access_key(self.ctx, id)
        return self.nothing()
