"""The data plane of tests/storage, asked in Swift's language."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from identity import tokens
from identity.token_format import Scope, ScopeKind
from tests.storage.conftest import Cloud, Person, cloud

__all__ = ["cloud", "swift"]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def __getitem__(self, name: str) -> str:
        return self.headers[name.lower()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.headers


@dataclass
class Swift:
    """`ask` sends one request to the account of `cloud.me`, as anybody; `ok` wants a success."""

    cloud: Cloud
    connection: http.client.HTTPConnection
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        return f"/v1/AUTH_{self.cloud.me.project.id.hex}"

    def token(self, who: Person | None) -> str:
        person = who or self.cloud.me
        key = person.user.email
        if key not in self.tokens:
            scope = Scope(ScopeKind.PROJECT, person.project.id)
            self.tokens[key] = tokens.issue(person.user, methods=("password",), scope=scope)[0]
        return self.tokens[key]

    def ask(
        self,
        method: str,
        path: str = "",
        body: bytes = b"",
        *,
        who: Person | str | None = None,
        query: Any = (),
        account: str = "",
        **headers: str,
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who != "nobody":
            sent["X-Auth-Token"] = self.token(who if isinstance(who, Person) else None)
        target = (account or self.account) + (quote(f"/{path}") if path else "")
        if query:
            target += "?" + (query if isinstance(query, str) else urlencode(query))
        self.connection.request(method, target, body=body or (b"" if method in ("PUT", "POST", "COPY") else None), headers=sent)
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def ok(self, method: str, path: str = "", body: bytes = b"", **more: Any) -> Answer:
        answer = self.ask(method, path, body, **more)
        assert answer.status < 300, (method, path, answer.status, answer.body[:500])
        return answer

    def names(self, path: str, **query: str) -> list[str]:
        return [row.get("name", row.get("subdir")) for row in self.ok("GET", path, query={"format": "json", **query}).json()]


@pytest.fixture
def swift(cloud: Cloud) -> Iterator[Swift]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    yield Swift(cloud, connection)
    connection.close()
