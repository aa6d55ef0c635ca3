"""Hostile bodies to every form of the portal, the console and the account, found by the table of routes.

Always a refusal or the form again with a sentence, never an error of ours, and nothing is changed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.core.cache import cache
from django.test import Client

from cloudbox.common.models import Event
from compute.models import Keypair
from tests.test_routes import ROUTES, Probe, Route
from tests.world import World

pytestmark = pytest.mark.slow

FORMS = [route for route in ROUTES.values() if "POST" in route.least and not route.is_api]
FORM = "application/x-www-form-urlencoded"
LONG = "x" * 70_000
# What no field of ours takes, but for texts that are kept as they are (a description, user data).
VALUES = ("", "\x00", "\x1b[31m\r\n", "\u202e", LONG, "9" * 40, "../../etc/%00", "'\"<script>alert(1)</script>")
IDS = ("", "x", "0", "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e1", "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10", "{" + "0" * 36 + "}", "9" * 400)
# Values of fields that choose, which are in no list.
CHOICES = ("nonsense", "ADMIN", "admin ", "админ", "1")
RAW = {
    "broken UTF-8": b"name=%ff%fe&email=%c3%28&q=%ed%a0%80",
    "broken UTF-8, raw": b"name=\xff\xfe\xc3\x28",
    "NUL": b"name=%00&\x00=\x00",
    "no pairs": b"&&&&====&=&;;;",
    "nothing": b"",
    "half an escape": b"%&email=%4&%zz=%",
    "ten thousand fields": b"&".join(b"f%d=1" % n for n in range(10_000)),
    "one field ten thousand times": b"&".join([b"id=x"] * 10_000),
    "two megabytes": b"name=" + b"a" * 2_000_000,
    "two megabytes of a name": b"a" * 2_000_000 + b"=1",
}
TYPES = {
    "JSON": ("application/json", b'{"name": {"$ne": 1}}'),
    "XML": ("application/xml", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"),
    "text": ("text/plain", b"name=x"),
    "none": ("", b"name=x"),
    "unknown charset": (f"{FORM}; charset=no-such-thing", b"name=" + LONG.encode()),
    "UTF-7": (f"{FORM}; charset=utf-7", b"name=+ADw-script+AD4-" + LONG.encode()),
    "multipart without a boundary": ("multipart/form-data", b"--x\r\n\r\n"),
    "multipart cut short": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + LONG.encode(),
    ),
    "multipart with a hostile boundary": ("multipart/form-data; boundary=" + "x" * 5000, b"--x--"),
    "multipart with a file for a text": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="name"; filename="../../a"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n',
    ),
}

BUTTONS = {
    "sign-out", "revoke", "delete", "remove", "suspend", "resume", "stop", "retire", "restore", "deactivate", "reactivate", "password",
    "verify", "empty", "make-default", "offer", "detach", "withdraw", "forget", "fetch", "<slug:key>", "<uuid:user_id>",
}  # fmt: skip


_FORMS = re.compile(r"(<form[^>]*>)(.*?)</form>", re.DOTALL)
_ACTION = re.compile(r' action="([^"#?]*)')


def _ids(routes: list[Route]) -> list[str]:
    return [route.text or "home" for route in routes]


def _rows() -> dict[str, int]:
    """How many rows each table of ours has; what only tells of a request (events, sessions) is left out."""
    mine = [model for name in ("identity", "compute") for model in apps.get_app_config(name).get_models()]
    return {model.__name__: model._default_manager.count() for model in mine}


def _done() -> int:
    return Event.objects.filter(outcome="ok").exclude(verb__in=["sign-in"]).count()


def _fields(html: str) -> set[str]:
    """The names of fields of the forms on a page."""
    return set(re.findall(r'<(?:input|select|textarea|button)[^>]* name="([\w-]+)"', html)) - {"csrfmiddlewaretoken"}


def _right(probe: Probe, route: Route) -> dict[str, Any]:
    return dict(probe.body(route, "POST")[0])


def _check(answer: Any, what: object) -> None:
    # These tests have no object store; a form that needs it says so, and keeps what was written into it.
    no_store = answer.status_code == 503 and b"object store does not answer" in answer.content and b"<form" in answer.content
    assert answer.status_code < 500 or no_store, (what, answer.status_code, answer.content[:300])
    if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
        text = answer.content.decode()
        assert "<form" in text, what
        assert "<script>alert" not in text, what


class Sender:
    """An administrator's browser on one form. Requests that could change something are rolled back, so that each meets the same world."""

    def __init__(self, world: World, route: Route) -> None:
        self.probe, self.route = Probe(world, "admin"), route
        self.address = self.probe.address(route.text)
        self.right = _right(self.probe, route)

    @property
    def client(self) -> Client:
        self.probe.sign_in()
        return self.probe.client

    def raw(self, body: bytes, kind: str = FORM) -> Any:
        cache.clear()  # the limits on tries are not what is looked at
        return self.client.generic("POST", self.address, body, content_type=kind)

    def fields(self, fields: dict[str, Any]) -> Any:
        return self.raw(urlencode(fields, doseq=True).encode())

    def names(self) -> list[str]:
        """The fields of the form, as its page has it, which is at its address or above; else those that a right request has."""
        address = self.address
        while address:
            page = self.client.get(address)
            if page.status_code == 200 and "html" in page["Content-Type"]:
                forms = _FORMS.findall(page.content.decode())
                mine = [inside for start, inside in forms if (_ACTION.search(start) or ["", address])[1] == self.address]
                if mine:
                    return sorted(set().union(*map(_fields, mine)))
            address = address.rpartition("/")[0]
        return sorted(self.right)


def _hostile(name: str) -> Iterator[Any]:
    """What this field alone may hold, while all others are right."""
    yield from ("a\x00b", LONG)
    if name in ("id", "port", "group", "image", "size", "network", "key", "remote_group_id"):
        yield from IDS
        yield ["x"] * 300
    if name in ("role", "box_role", "kind", "direction", "protocol", "remote", "action", "theme", "source", "form"):
        yield from CHOICES


@pytest.mark.parametrize("route", FORMS, ids=_ids(FORMS))
def test_hostile_forms(route: Route, world: World) -> None:
    """Each field in turn and all at once hold what they never should; one is missing; the body is no form, or far too much of one."""
    sender = Sender(world, route)
    before = _rows(), _done()
    _check_token(sender)
    assert (_rows(), _done()) == before
    for what, (kind, body) in ({what: (FORM, body) for what, body in RAW.items()} | TYPES).items():
        answer = sender.raw(body, kind)
        _check(answer, what)
        if kind == FORM and len(body) > 10_000:
            assert answer.status_code in (400, 413), (what, answer.status_code)
        # A button is all that some forms are: pressing it is right, whatever else the body holds.
        assert _is_button(route) or (_rows(), _done()) == before, what
    names = sender.names()
    for value in VALUES:
        _check(sender.fields(dict.fromkeys(names, value)), f"all {value[:40]!r}")
    for name in names:
        for value in _hostile(name):
            _check(sender.fields(sender.right | {name: value}), (name, str(value)[:40]))
    for name in sender.right.keys() & set(names):
        _check(sender.fields({key: value for key, value in sender.right.items() if key != name}), f"without {name}")


def _check_token(sender: Sender) -> None:
    """Without the CSRF token of its page the form is refused."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert sender.probe.user is not None
    client.force_login(sender.probe.user)
    assert client.post(sender.address, sender.right).status_code == 403
    assert client.post(sender.address, sender.right, headers={"X-CSRFToken": "x" * 64}).status_code == 403


def _is_button(route: Route) -> bool:
    """Does the route act without a field?"""
    return route.text.rpartition("/")[2] in BUTTONS or route.text.endswith("credentials/keys/new")


def test_files_go_nowhere(world: World) -> None:
    """No form of ours takes a file: one that is sent is not kept."""
    sender = Sender(world, ROUTES["p/<slug:project>/keypairs/new"])
    upload = io.BytesIO(b"x" * 500_000)
    upload.name = "../../../etc/passwd"
    answer = sender.client.post(sender.address, {"name": upload, "source": "create"})
    assert answer.status_code == 400
    assert not Keypair.objects.exclude(name="probe").exists()
