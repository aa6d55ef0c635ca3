"""A data plane that runs in a thread of the test on four folders, with the tables of the test's database behind it."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from django.db import connection

from identity import credentials, projects, users
from identity.context import SYSTEM, Context
from identity.models import Membership, Project, Quota, Role, User
from storage import buckets, dataplane
from storage.api.s3.app import S3
from storage.api.s3.auth import credential_of
from storage.api.s3.portal import Portal
from storage.api.sts.app import Sts
from storage.api.swift.app import Swift
from storage.plane import THREADS, Plane
from storage.server import App, Request, Response
from storage.server.worker import Front
from tests.server.running import running


@dataclasses.dataclass
class Person:
    """Somebody with a project of their own, or a role in somebody else's."""

    user: User
    project: Project
    role: str
    key: str
    secret: str

    @property
    def ctx(self) -> Context:
        return Context(user=self.user, project=self.project, role=self.role, api="s3")


@dataclasses.dataclass
class Cloud:
    """The running data plane, and people to ask it. `plane`, `loop` and `front` are for tests that reach behind its port."""

    port: int
    plane: Plane
    loop: asyncio.AbstractEventLoop
    me: Person
    stranger: Person
    reader: Person
    pages: Portal
    front: Front

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, who: Person | None = None, **config: Any) -> Any:
        who = who or self.me
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=who.key,
            aws_secret_access_key=who.secret,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, read_timeout=30, **config),
        )

    def run(self, coroutine: Any) -> Any:
        """In the data plane's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def bucket(self, client: Any = None, **kwargs: Any) -> str:
        name = f"bucket-{uuid4().hex[:12]}"
        (client or self.client()).create_bucket(Bucket=name, **kwargs)
        return name


def _person(project: Project | None, role: str) -> Person:
    address = f"{uuid4().hex[:8]}@example.org"
    user, _ = users.create(SYSTEM, email=address, name="Somebody")
    if project is None:
        project = projects.create(SYSTEM, name=f"Project {uuid4().hex[:6]}", owner_email=address)
    else:
        Membership.objects.create(user=user, project=project, role=role)
    key, secret = credentials.create_access_key(Context(user=user, project=project, role=role), name="test")
    return Person(user, project, role, key.id, secret)


@pytest.fixture
def cloud(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[Cloud]:
    settings.RUN_DIR = tmp_path / "run"
    buckets.generations.cache_clear()
    config = dataplane.config_of(tmp_path, {"store_workers": 1})
    for folder in (config.index, config.generations.parent, *config.drives):
        folder.mkdir(parents=True, exist_ok=True)
    me = _person(None, Role.ADMIN)
    stranger, reader = _person(None, Role.ADMIN), _person(me.project, Role.READER)
    apps: list[App] = []

    async def app(request: Request) -> Response:
        return await apps[0](request)

    with running(app) as front:
        plane, close = asyncio.run_coroutine_threadsafe(dataplane.open_plane(config, 1), front.loop).result(60)
        s3 = S3(plane, domains=("s3.localhost",), sites=("s3-website.localhost",))
        apps.append(dataplane.front(s3, Swift(plane, domains=("swift.localhost",)), Sts(plane, lookup=credential_of)))
        try:
            yield Cloud(front.port, plane, front.loop, me, stranger, reader, s3.pages, front.front)
        finally:
            # The threads' connections would keep the test's database from being emptied.
            together = threading.Barrier(THREADS)
            wait([plane.pool.submit(lambda: (together.wait(10), connection.close())) for _ in range(THREADS)])
            asyncio.run_coroutine_threadsafe(close(), front.loop).result(60)
            buckets.generations.cache_clear()


def limit(project: Project, resource: str, value: int | None) -> None:
    Quota.objects.filter(project=project, resource=resource).update(limit=value)
