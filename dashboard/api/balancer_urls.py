"""Addresses of load balancers, below a project."""

from __future__ import annotations

from django.urls import path

from dashboard.api.views import load_balancers as views

_ONE = "load-balancers/<uuid:id>"
_POOL = f"{_ONE}/pools/<uuid:pool_id>"

urlpatterns = [
    path("load-balancers", views.BalancersView.as_view()),
    path(_ONE, views.BalancerView.as_view()),
    path(f"{_ONE}/listeners", views.ListenersView.as_view()),
    path(f"{_ONE}/listeners/<uuid:listener_id>", views.ListenerView.as_view()),
    path(f"{_ONE}/pools", views.PoolsView.as_view()),
    path(_POOL, views.PoolView.as_view()),
    path(f"{_POOL}/pool-members", views.MembersView.as_view()),
    path(f"{_POOL}/pool-members/<uuid:member_id>", views.MemberView.as_view()),
]
