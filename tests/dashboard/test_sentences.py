"""Events as sentences: every verb that the house publishes, and every refusal that the policy knows, reads as English."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cloudbox.common.models import Event
from compute.lifecycle import MOVES
from dashboard import sentences
from identity.policy import ACTIONS

HOUSE = Path(__file__).resolve().parents[2]
# (noun, verb) -> the sentence of an event of Bob's about a thing called X.
DONE = {
    ("instance", "launch"): "bob launched X",
    ("instance", "force-stop"): "bob pulled the plug of X",
    ("instance", "reset"): "bob pressed the reset button of X",
    ("instance", "suspend"): "bob suspended X to disk",
    ("instance", "unprotect"): "bob allowed the deletion of X",
    ("instance", "open-console"): "bob opened the console of X",
    ("instance", "update"): "bob changed X",
    ("instance", "running"): "X is running",
    ("instance", "error"): "X failed",
    ("instance", "deleted"): "X is gone",
    ("keypair", "import"): "bob imported key pair X",
    ("image", "register"): "bob registered image X",
    ("network", "rename"): "bob renamed network X",
    ("security-group", "add-rule"): "bob added a rule to security group X",
    ("port", "set-groups"): "bob changed the security groups of port X",
    ("flavor", "retire"): "bob retired size X",
    ("user", "create"): "bob created account X",
    ("user", "update"): "bob changed their own profile",
    ("user", "sign-in"): "bob signed in",
    ("user", "reset-password"): "bob set a new password for account X",
    ("session", "end"): "bob ended another session of their own",
    ("quota", "set"): "bob set the quota of project X",
    ("project", "suspend"): "bob suspended project X",
    ("member", "set-role"): "bob changed the role of member X",
}


def _event(noun: str, verb: str, outcome: str = "ok", **more: str) -> Event:
    return Event(actor="bob@example.org", noun=noun, verb=verb, subject="X", outcome=outcome, **more)


@pytest.mark.parametrize(("noun", "verb"), DONE)
def test_what_was_done(noun: str, verb: str) -> None:
    assert sentences.text(_event(noun, verb)) == DONE[noun, verb]


def test_secrets_are_called_by_their_names() -> None:
    assert sentences.text(_event("access-key", "create", detail="backups CBXAAAA")) == "bob created access key backups"
    assert sentences.text(_event("token", "create", detail="deploy, reaching the box")) == "bob created token deploy"


@pytest.mark.parametrize("action", ACTIONS)
def test_a_refusal_says_what_was_not_allowed(action: str) -> None:
    """Each action of the policy has words of its own: none is put together from its two halves."""
    noun, verb = action.split(".")
    assert action in sentences._NOT_ALLOWED
    said = sentences.text(_event(noun, verb, "refused"))
    assert said.startswith("bob was not allowed to ")
    assert "_" not in said


def test_every_move_is_told_as_the_things_own() -> None:
    assert {str(status) for status in MOVES} == set(sentences._BECAME)


def test_every_published_verb_has_its_words() -> None:
    """The literal verbs of all calls of `publish` in the house."""
    found = set()
    for folder in ("compute", "identity", "dashboard", "storage"):
        for path in (HOUSE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("publish") and len(node.args) >= 3:
                    verb, noun = node.args[1:3]
                    if isinstance(verb, ast.Constant) and isinstance(noun, ast.Constant) and "refused" not in ast.unparse(node).lower():
                        found.add((noun.value, verb.value))
    assert len(found) > 20
    told = set(sentences._DONE)
    missing = {pair for pair in found if pair[1] not in told and pair not in sentences._DONE_OF}
    assert not missing
    for noun, verb in found:
        said = sentences.text(_event(noun, verb, detail="d"))
        assert re.fullmatch(r"bob [a-z][\w' -]+( X| d| X to disk)?", said), said
