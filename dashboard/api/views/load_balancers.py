"""Load balancers, their listeners, pools and members."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import balancer_certificates, load_balancers
from compute.models import Listener, Pool
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import load_balancers as render

_ID = "6f9a3d9e-4f3b-4a55-9f0a-0d6f2b3c4d5e"
_PEM = balancer_certificates.TEXT_MAX
_CHECK, _CHECKS, _TIMEOUT = load_balancers.CHECK_SECONDS, load_balancers.CHECKS, load_balancers.TIMEOUT_SECONDS
TAG = "load-balancers"


def _whole(limits: tuple[int, int], **more: object) -> Whole:
    return Whole(min_value=limits[0], max_value=limits[1], **more)


class BalancerCreate(Input):
    name = Text(max_length=60)
    network_id = Id()
    ip = Text(default="", allow_blank=True, max_length=15, help_text="Empty: the next free address.")
    description = Text(default="", allow_blank=True)


class BalancerChange(Input):
    name = Text(required=False, max_length=60)
    description = Text(required=False, allow_blank=True)


class PoolChange(Input):
    name = Text(required=False, max_length=64)
    algorithm = serializers.ChoiceField(Pool.Algorithm.values, required=False)
    is_sticky = Flag(required=False, help_text="HTTP only.")
    check_path = Text(required=False, allow_blank=True, max_length=255, help_text="HTTP only.")
    check_seconds = _whole(_CHECK, required=False)
    check_falls = _whole(_CHECKS, required=False)
    check_rises = _whole(_CHECKS, required=False)
    timeout_seconds = _whole(_TIMEOUT, required=False)


class PoolCreate(PoolChange):
    name = Text(max_length=64)
    protocol = serializers.ChoiceField(Pool.Protocol.values, default="http")


class MemberCreate(Input):
    port_id = Id(help_text="A network card of an instance.")
    number = _whole((1, 65535))
    weight = _whole(load_balancers.WEIGHTS, default=1)
    is_enabled = Flag(default=True)


class MemberChange(Input):
    weight = _whole(load_balancers.WEIGHTS, required=False)
    is_enabled = Flag(required=False, help_text="false: it gets nothing new.")


class ListenerCreate(Input):
    protocol = serializers.ChoiceField(Listener.Protocol.values)
    number = _whole((1, 65535))
    pool_id = Id()
    timeout_seconds = _whole(_TIMEOUT, default=60)
    certificate = Text(default="", allow_blank=True, max_length=_PEM, help_text="For HTTPS: PEM, with its chain.")
    private_key = Text(default="", allow_blank=True, max_length=_PEM, help_text="For HTTPS: PEM. It is kept sealed and never told.")


class ListenerChange(Input):
    pool_id = Id(required=False)
    timeout_seconds = _whole(_TIMEOUT, required=False)
    certificate = Text(required=False, allow_blank=True, max_length=_PEM)
    private_key = Text(required=False, allow_blank=True, max_length=_PEM)


class BalancersView(ApiView):
    @listing("load_balancers_list", "Load balancers of the project", of=render.LoadBalancerShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(load_balancers.list(self.ctx), render.LoadBalancerShape, self.query(PageQuery))

    @operation(
        "load_balancers_create",
        "Make a load balancer",
        answer=render.LoadBalancerShape,
        status=201,
        body=BalancerCreate,
        example={"name": "front", "network_id": _ID},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = load_balancers.create(self.ctx, **self.body(BalancerCreate))
        return self.show(row, render.LoadBalancerShape, status=201, location=f"{request.path}/{row.id}")


class _BalancerShell(ApiView):
    def whole(self, id: UUID, *, status: int = 200, location: str = "") -> Response:
        """What hangs on it is told with it."""
        row = load_balancers.get(self.ctx, id)
        if location:
            return self.show(row, render.LoadBalancerShape, status=status, location=location)
        return self.show(row, render.LoadBalancerShape, status=status)


class BalancerView(_BalancerShell):
    @operation("load_balancers_get", "One load balancer", answer=render.LoadBalancerShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.whole(id)

    @operation(
        "load_balancers_update", "Rename or describe it", answer=render.LoadBalancerShape, body=BalancerChange, example={"name": "front-2"}
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        load_balancers.update(self.ctx, id, self.body(BalancerChange))
        return self.whole(id)

    @operation("load_balancers_delete", "Delete it with all that hangs on it", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        load_balancers.delete(self.ctx, id)
        return self.nothing()


class PoolsView(_BalancerShell):
    @operation(
        "load_balancers_create_pool",
        "Add a pool",
        answer=render.LoadBalancerShape,
        status=201,
        body=PoolCreate,
        example={"name": "web", "check_path": "/health"},
        tag=TAG,
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID) -> Response:
        pool = load_balancers.create_pool(self.ctx, id, **self.body(PoolCreate))
        return self.whole(id, status=201, location=f"{request.path}/{pool.id}")


class PoolView(_BalancerShell):
    @operation(
        "load_balancers_update_pool",
        "Change a pool",
        answer=render.LoadBalancerShape,
        body=PoolChange,
        example={"algorithm": "least-connections"},
        tag=TAG,
    )
    def patch(self, request: Request, project: str, id: UUID, pool_id: UUID) -> Response:
        load_balancers.update_pool(self.ctx, id, pool_id, self.body(PoolChange))
        return self.whole(id)

    @operation("load_balancers_delete_pool", "Delete a pool that no listener leads to", status=204, tag=TAG)
    def delete(self, request: Request, project: str, id: UUID, pool_id: UUID) -> Response:
        load_balancers.delete_pool(self.ctx, id, pool_id)
        return self.nothing()


class MembersView(_BalancerShell):
    @operation(
        "load_balancers_add_member",
        "Put an instance into a pool",
        answer=render.LoadBalancerShape,
        status=201,
        body=MemberCreate,
        example={"port_id": _ID, "number": 8080},
        tag=TAG,
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID, pool_id: UUID) -> Response:
        member = load_balancers.add_member(self.ctx, id, pool_id, **self.body(MemberCreate))
        return self.whole(id, status=201, location=f"{request.path}/{member.id}")


class MemberView(_BalancerShell):
    @operation(
        "load_balancers_update_member",
        "Weigh a member, or let it finish what it has",
        answer=render.LoadBalancerShape,
        body=MemberChange,
        example={"is_enabled": False},
        tag=TAG,
    )
    def patch(self, request: Request, project: str, id: UUID, pool_id: UUID, member_id: UUID) -> Response:
        load_balancers.update_member(self.ctx, id, pool_id, member_id, self.body(MemberChange))
        return self.whole(id)

    @operation("load_balancers_remove_member", "Take an instance out of a pool", status=204, tag=TAG)
    def delete(self, request: Request, project: str, id: UUID, pool_id: UUID, member_id: UUID) -> Response:
        load_balancers.remove_member(self.ctx, id, pool_id, member_id)
        return self.nothing()


class ListenersView(_BalancerShell):
    @operation(
        "load_balancers_add_listener",
        "Listen on a port",
        answer=render.LoadBalancerShape,
        status=201,
        body=ListenerCreate,
        example={"protocol": "http", "number": 80, "pool_id": _ID},
        tag=TAG,
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID) -> Response:
        listener = load_balancers.add_listener(self.ctx, id, **self.body(ListenerCreate))
        return self.whole(id, status=201, location=f"{request.path}/{listener.id}")


class ListenerView(_BalancerShell):
    @operation(
        "load_balancers_update_listener",
        "Lead a listener to another pool, or give it another certificate",
        answer=render.LoadBalancerShape,
        body=ListenerChange,
        example={"timeout_seconds": 300},
        tag=TAG,
    )
    def patch(self, request: Request, project: str, id: UUID, listener_id: UUID) -> Response:
        load_balancers.update_listener(self.ctx, id, listener_id, self.body(ListenerChange))
        return self.whole(id)

    @operation("load_balancers_remove_listener", "Listen there no more", status=204, tag=TAG)
    def delete(self, request: Request, project: str, id: UUID, listener_id: UUID) -> Response:
        load_balancers.remove_listener(self.ctx, id, listener_id)
        return self.nothing()
