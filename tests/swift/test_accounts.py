"""Accounts: who else may use one, its quotas, how its ETags are written, and the names of hosts that stand for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from identity import credentials, roles, tokens
from identity.context import Context
from identity.models import CustomGrant, CustomRole
from identity.token_format import Scope, ScopeKind
from storage.api.swift import acls
from storage.api.swift.acls import AclInvalid
from tests.swift.conftest import Swift


def access(swift: Swift, **lists: list[str]) -> Any:
    text = json.dumps({name.replace("_", "-"): elements for name, elements in lists.items()})
    return swift.ok("POST", "", X_Account_Access_Control=text)


def test_levels_of_access(swift: Swift) -> None:
    """Another project's user reads, or writes as well, or owns, just as the account's own list says."""
    guest = swift.cloud.stranger
    name = f"{guest.project.slug}:{guest.user.email}"
    swift.ok("PUT", "c", X_Container_Read="*:nobody", X_Container_Meta_Temp_URL_Key="secret")
    swift.ok("PUT", "c/o", b"x")
    everything = [
        ("GET", "", "read"),
        ("GET", "c", "read"),
        ("GET", "c/o", "read"),
        ("PUT", "c/new", "write"),
        ("POST", "c/o", "write"),
        ("PUT", "d", "write"),
        ("POST", "d", "write"),
        ("DELETE", "c/new", "write"),
        ("DELETE", "d", "write"),
        ("POST", "", "own"),
    ]

    def allowed() -> set[str]:
        seen = {(swift.ask(method, path, who=guest, account=swift.account).status < 300, level) for method, path, level in everything}
        assert {level for done, level in seen if done}.isdisjoint(level for done, level in seen if not done), seen
        return {level for done, level in seen if done}

    assert allowed() == set()
    access(swift, read_only=[name])
    assert allowed() == {"read"}
    assert "X-Account-Access-Control" not in swift.ok("HEAD", who=guest, account=swift.account)
    access(swift, read_write=[name], read_only=["other:one"])
    assert allowed() == {"read", "write"}
    # What only owners see and set stays theirs: from others it is passed over.
    swift.ok("POST", "c", who=guest, account=swift.account, X_Container_Read=".r:*", X_Container_Meta_Temp_URL_Key="mine")
    seen = swift.ok("HEAD", "c", who=guest, account=swift.account)
    assert "X-Container-Read" not in seen
    assert "X-Container-Meta-Temp-Url-Key" not in seen
    assert swift.ok("HEAD", "c")["X-Container-Read"] == "*:nobody"
    assert swift.ok("HEAD", "c")["X-Container-Meta-Temp-Url-Key"] == "secret"
    access(swift, admin=[f"{guest.project.id.hex}:*"])
    assert allowed() == {"read", "write", "own"}
    assert json.loads(swift.ok("HEAD", who=guest, account=swift.account)["X-Account-Access-Control"]) == {
        "admin": [f"{guest.project.id.hex}:*"]
    }
    access(swift)
    assert allowed() == set()
    assert "X-Account-Access-Control" not in swift.ok("HEAD")


def test_a_credential_for_reading_stays_one(swift: Swift) -> None:
    """An account that lets a user write does not widen a credential that the user made for reading."""
    guest = swift.cloud.stranger
    access(swift, admin=[f"{guest.project.id.hex}:{guest.user.id.hex}"])
    row, _ = credentials.create_token(Context(user=guest.user, project=guest.project, role="admin"), name="look", role="reader")
    text, _ = tokens.issue(
        guest.user, methods=("application_credential",), scope=Scope(ScopeKind.PROJECT, guest.project.id), credential=row
    )
    assert swift.ask("GET", who="nobody", X_Auth_Token=text).status == 204
    assert swift.ask("PUT", "c", who="nobody", X_Auth_Token=text).status == 403
    assert swift.ask("PUT", "c", who=guest, account=swift.account).status == 201


@pytest.mark.parametrize("text", ["yuck", "[]", '{"owner": []}', '{"admin": "bob"}', '{"admin": [1]}', "1"])
def test_lists_that_say_nothing_are_refused(swift: Swift, text: str) -> None:
    with pytest.raises(AclInvalid):
        acls.clean_account(text)
    assert swift.ask("POST", "", X_Account_Access_Control=text).status == 400


def test_quotas_of_a_policy(swift: Swift) -> None:
    """A quota of one storage policy counts what lies under that policy, and stops writes there alone."""
    admin = swift.cloud.stranger
    role, _ = CustomRole.objects.get_or_create(name=roles.RESELLER_ADMIN)
    CustomGrant.objects.create(user=admin.user, project=admin.project, role=role)
    swift.ok("PUT", "three", X_Storage_Policy="replicated-3")
    swift.ok("PUT", "two", X_Storage_Policy="replicated-2")
    swift.ok("PUT", "three/a", b"12345")
    assert swift.ask("POST", "", X_Account_Quota_Bytes_Policy_Replicated_3="6").status == 403
    swift.ok("POST", "", who=admin, account=swift.account, X_Account_Quota_Bytes_Policy_Replicated_3="6")
    assert swift.ok("HEAD")["X-Account-Quota-Bytes-Policy-Replicated-3"] == "6"
    assert swift.ask("PUT", "three/b", b"12").status == 413
    swift.ok("PUT", "two/b", b"12")
    swift.ok("POST", "", who=admin, account=swift.account, X_Remove_Account_Quota_Bytes_Policy_Replicated_3="x")
    swift.ok("PUT", "three/b", b"12")
    assert swift.ask("POST", "", who=admin, account=swift.account, X_Account_Quota_Count_Policy_None="6").status == 400


def test_etags_in_quotes(swift: Swift) -> None:
    """As HTTP has them where the container wants it, or else the account."""
    swift.ok("PUT", "c")
    bare = swift.ok("PUT", "c/o", b"x")["ETag"]
    assert swift.ok("HEAD", "c/o")["ETag"] == bare
    swift.ok("POST", "", X_Account_Rfc_Compliant_Etags="true")
    assert swift.ok("HEAD", "c/o")["ETag"] == f'"{bare}"'
    swift.ok("POST", "c", X_Container_Rfc_Compliant_Etags="false")
    assert swift.ok("HEAD", "c/o")["ETag"] == bare
    swift.ok("POST", "c", X_Container_Rfc_Compliant_Etags="")
    assert swift.ok("HEAD", "c/o")["ETag"] == f'"{bare}"'
    assert swift.ask("GET", "c/o", If_None_Match=f'"{bare}"').status == 304


def test_hosts_that_stand_for_accounts_and_containers(swift: Swift) -> None:
    """[<container>.]AUTH-<project id>.<domain>: the same things as by path, as a site as well."""
    account = swift.account.rpartition("/")[2]
    swift.ok("PUT", "c", X_Container_Read=".r:*", X_Container_Meta_Web_Index="index.html")
    swift.ok("PUT", "c/dir/index.html", b"home")

    def ask(method: str, host: str, path: str, body: bytes = b"", **more: Any) -> Any:
        return swift.ask(method, body=body, account=path, Host=f"{host}.swift.localhost:80", **more)

    for name in (account, account.replace("_", "-"), account.lower().replace("_", "-")):
        assert ask("GET", name, "/").body == b"c\n"
        assert ask("GET", name, "/c/dir/index.html").body == b"home"
        assert ask("GET", f"c.{name}", "/").body == b"dir/index.html\n"
        assert ask("GET", f"c.{name}", "/dir/", who="nobody").body == b"home"
        moved = ask("GET", f"c.{name}", "/dir", who="nobody")
        assert (moved.status, moved["Location"]) == (301, f"http://c.{name}.swift.localhost:80/dir/")
        assert ask("PUT", f"c.{name}", "/v1", b"named like a version").status == 201
        assert swift.ok("GET", "c/v1").body == b"named like a version"
        swift.ok("DELETE", "c/v1")
        assert ask("GET", name, "/", who="nobody").status == 401
    assert ask("GET", "nobody", "/").status == 403
    assert ask("GET", f"c.{swift.cloud.stranger.project.id.hex}", "/").status == 403
