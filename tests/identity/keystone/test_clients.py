"""Unmodified clients against a live server: python-openstackclient as people type it, and openstacksdk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import openstack
import pytest
from django.core.management import call_command

from identity.models import ApiToken
from tests.identity.keystone.conftest import PASSWORD
from tests.world import World, build

OPENSTACK = str(Path(sys.executable).parent / "openstack")
pytestmark = pytest.mark.slow


@pytest.fixture
def cloud(transactional_db: None, machine_home: Path, live_server: Any) -> World:
    """A world that the live server's threads see."""
    made = build()
    for user in made.users.values():
        user.set_password(PASSWORD)
        user.save(update_fields=["password"])
    return made


def run(live_server: Any, *words: str, **more: str) -> Any:
    """`openstack …`, its JSON."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "OS_AUTH_URL": f"{live_server.url}/identity/v3",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_PASSWORD": PASSWORD,
        "OS_IDENTITY_API_VERSION": "3",
    } | more
    done = subprocess.run(
        [OPENSTACK, *words], env={k: v for k, v in env.items() if v}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, (words, done.stderr[-2000:])
    return json.loads(done.stdout) if "json" in words else done.stdout


def test_openstackclient(cloud: World, live_server: Any) -> None:
    admin = {"OS_USERNAME": "admin@example.org", "OS_PROJECT_NAME": "Shop"}
    as_json = ("-f", "json")
    token = run(live_server, "token", "issue", *as_json, **admin)
    assert token["project_id"] == cloud.project.id.hex
    assert {row["Name"] for row in run(live_server, "project", "list", *as_json, **admin)} == {"Shop", "Elsewhere"}
    assert "member@example.org" in {row["Name"] for row in run(live_server, "user", "list", *as_json, **admin)}
    made = run(live_server, "project", "create", "Lab", *as_json, **admin)
    run(live_server, "user", "create", "robot", "--password", "a horse of mine 1", *as_json, **admin)
    run(live_server, "role", "add", "--project", "Lab", "--user", "robot", "member", **admin)
    rows = run(live_server, "role", "assignment", "list", "--names", "--user", "robot", *as_json, **admin)
    assert [(row["Role"], row["User"], row["Project"]) for row in rows] == [("member", "robot@Default", "Lab@Default")]
    robot = {"OS_USERNAME": "robot", "OS_PASSWORD": "a horse of mine 1", "OS_PROJECT_NAME": "Lab"}
    types = {row["Type"] for row in run(live_server, "catalog", "list", *as_json, **robot)}
    assert types == {"identity", "compute", "image", "network", "placement", "volumev3", "block-storage", "object-store"}
    credential = run(live_server, "application", "credential", "create", "deploy", "--role", "reader", *as_json, **robot)
    by_credential = {
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_ID": credential["id"] if "id" in credential else credential["ID"],
        "OS_APPLICATION_CREDENTIAL_SECRET": credential["secret"] if "secret" in credential else credential["Secret"],
        "OS_PASSWORD": "",
        "OS_USER_DOMAIN_NAME": "",
        "OS_PROJECT_DOMAIN_NAME": "",
    }
    assert run(live_server, "token", "issue", *as_json, **by_credential)["project_id"] == made["id"]
    key = run(live_server, "ec2", "credentials", "create", *as_json, **robot)
    assert key["access"].startswith("CBX")
    assert len(run(live_server, "ec2", "credentials", "list", *as_json, **robot)) == 1
    run(live_server, "ec2", "credentials", "delete", key["access"], **robot)
    run(live_server, "role", "remove", "--project", "Lab", "--user", "robot", "member", **admin)
    run(live_server, "user", "delete", "robot", **admin)
    run(live_server, "project", "delete", "Lab", **admin)
    assert {row["Name"] for row in run(live_server, "role", "list", *as_json, **admin)} == {"admin", "member", "reader", "ResellerAdmin"}
    assert run(live_server, "endpoint", "list", *as_json, OS_USERNAME="admin@example.org", OS_SYSTEM_SCOPE="all", OS_PROJECT_DOMAIN_NAME="")


def test_openstacksdk(cloud: World, live_server: Any) -> None:
    sdk = openstack.connection.Connection(
        auth={
            "auth_url": f"{live_server.url}/identity",
            "username": "owner@example.org",
            "password": PASSWORD,
            "project_name": "Shop",
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        identity_api_version="3",
    )
    me = sdk.current_user_id
    assert sdk.current_project.name == "Shop"
    assert [row.name for row in sdk.identity.user_projects(me)] == ["Shop"]
    made = sdk.identity.create_application_credential(me, name="sdk", unrestricted=False)
    assert made.secret
    assert [row.name for row in sdk.identity.application_credentials(me)] == ["sdk"]
    sdk.identity.delete_application_credential(me, made)
    assert sdk.identity.get_user(me).name == "owner@example.org"
    with pytest.raises(openstack.exceptions.ForbiddenException):
        list(sdk.identity.users())
    assert sdk.endpoint_for("object-store").endswith(f"/v1/AUTH_{cloud.project.id.hex}")


@pytest.mark.parametrize("form", ["openrc", "clouds.yaml"])
def test_credentials_of_the_command_line(cloud: World, live_server: Any, form: str, tmp_path: Path, settings: Any) -> None:
    """What `bin/cloudbox credentials` prints is what clients take as it is."""
    settings.PUBLIC_URL = live_server.url
    out = StringIO()
    call_command("box_credentials", "--format", form, "--email", "member@example.org", "--project", "shop", "--role", "member", stdout=out)
    if form == "openrc":
        lines = dict(line.removeprefix("export ").split("=", 1) for line in out.getvalue().splitlines() if line.startswith("export "))
        found = run(live_server, "token", "issue", "-f", "json", OS_USER_DOMAIN_NAME="", OS_PROJECT_DOMAIN_NAME="", OS_PASSWORD="", **lines)
    else:
        (tmp_path / "clouds.yaml").write_text(out.getvalue())
        clean = dict.fromkeys(("OS_AUTH_URL", "OS_USER_DOMAIN_NAME", "OS_PROJECT_DOMAIN_NAME", "OS_PASSWORD"), "")
        words = ("--os-cloud", "cloudbox", "token", "issue", "-f", "json")
        found = run(live_server, *words, OS_CLIENT_CONFIG_FILE=str(tmp_path / "clouds.yaml"), **clean)
    assert found["project_id"] == cloud.project.id.hex
    assert ApiToken.objects.count() == 1
