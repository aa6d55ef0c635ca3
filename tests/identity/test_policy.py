"""The policy table: who may do what, by role in the project and role in the box."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cloudbox.common.errors import Conflict, Forbidden
from cloudbox.common.models import Event
from identity import policy, projects
from identity.policy import ACTIONS
from tests.world import World

ROOT = Path(__file__).parents[2]
LEASTS = {policy.READER, policy.MEMBER, policy.PROJECT_ADMIN, policy.BOX_LOOK, policy.BOX_ADMIN, policy.SELF}


def test_every_action_has_a_known_least_role() -> None:
    assert set(ACTIONS.values()) <= LEASTS


def test_every_action_that_code_asks_for_is_in_the_table() -> None:
    """Reads the source: an action that is misspelt would be a KeyError at the worst moment; one never asked for is dead."""
    asked = set()
    for app in ("identity", "compute", "storage", "dashboard", "cloudbox"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("require", "may", "why_not"):
                    for argument in node.args:
                        asked |= {each.value for each in ast.walk(argument) if isinstance(each, ast.Constant) and "." in str(each.value)}
    assert asked <= set(ACTIONS)
    from compute import actions

    assert set(ACTIONS) - asked - {action.policy for action in actions.ACTIONS.values()} == set()


@pytest.mark.parametrize("action", ACTIONS)
def test_roles_include_those_before(action: str) -> None:
    """What a reader may, a member may; what a member may, an admin may; an administrator of the box may all; nobody without a role."""
    reader, member, admin = (policy.allows(action, role=role, box_role="") for role in ("reader", "member", "admin"))
    assert reader <= member <= admin
    assert policy.allows(action, role=None, box_role="admin")
    assert policy.allows(action, role=None, box_role="") == (ACTIONS[action] == policy.SELF)


@pytest.mark.parametrize("action", ACTIONS)
def test_support_looks_and_touches_nothing(action: str) -> None:
    looks = ACTIONS[action] in (policy.READER, policy.BOX_LOOK, policy.SELF) and action != "credentials.create"
    assert policy.allows(action, role=None, box_role="support") == looks


def test_a_refusal_is_audited_and_explained(world: World) -> None:
    ctx = world.ctx("reader")
    with pytest.raises(Forbidden, match="needs the role member; yours is reader"):
        ctx.require("instances.launch")
    event = Event.objects.get(outcome="refused")
    assert (event.actor, event.verb, event.noun, event.project_id) == ("reader@example.org", "launch", "instances", world.project.id)


def test_a_suspended_project_stands_still(world: World) -> None:
    projects.suspend(world.box(), world.project)
    ctx = world.ctx("owner")
    ctx.require("instances.list")
    with pytest.raises(Conflict, match="suspended"):
        ctx.require("instances.launch")
