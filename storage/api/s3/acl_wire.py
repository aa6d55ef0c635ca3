"""ACLs on the wire: canned names and grant headers, and the AccessControlPolicy document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import UUID

from identity.models import Membership
from storage import acls
from storage.access import Rules
from storage.acls import Acl, Grant
from storage.api.s3 import xml
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error
from storage.errors import AclUnsupported
from storage.loading import visiting
from storage.properties import Properties

GRANT_HEADERS = {
    "x-amz-grant-read": acls.READ,
    "x-amz-grant-write": acls.WRITE,
    "x-amz-grant-read-acp": acls.READ_ACP,
    "x-amz-grant-write-acp": acls.WRITE_ACP,
    "x-amz-grant-full-control": acls.FULL,
}
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*"?([^",]*)"?\s*', re.IGNORECASE)


def asked(headers: Mapping[str, str], *, owner: str, bucket_owner: str, for_object: bool) -> list[Grant] | None:
    """The grants that a request's headers ask for; None if they say nothing. E-mail addresses stay to be looked up (`resolve`)."""
    canned = headers.get("x-amz-acl")
    given = [name for name in GRANT_HEADERS if name in headers]
    if canned is not None and given:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if canned is not None:
        grants = acls.canned(canned, owner=owner, bucket_owner=bucket_owner, for_object=for_object)
        if grants is None:
            raise S3Error("InvalidArgument", "", ArgumentName="x-amz-acl", ArgumentValue=canned)
        return grants
    if not given:
        return None
    grants = []
    for name in given:
        for item in headers[name].split(","):
            match = _GRANTEE.fullmatch(item)
            if match is None:
                raise S3Error("InvalidArgument", f"The header {name} is a list of id=, uri= or emailAddress=.", ArgumentName=name)
            grants.append([*_grantee(match[1].lower(), match[2]), GRANT_HEADERS[name]])
    return grants


def _grantee(kind: str, value: str) -> list[str]:
    if kind == "uri":
        if value not in acls.GROUP_NAMES:
            raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="uri", ArgumentValue=value)
        return ["group", acls.GROUP_NAMES[value]]
    return ["email" if kind == "emailaddress" else "user", value]


async def resolve(call: Call, grants: list[Grant]) -> list[Grant]:
    """Grants with e-mail addresses replaced by projects, and every project known. Raises what S3 says of strangers."""
    if len(grants) > acls.GRANTS_MAX:
        raise S3Error("MalformedACLError", f"An ACL has at most {acls.GRANTS_MAX} grants.")
    found = []
    for kind, who, permission in grants:
        if kind == "email":
            project = await call.plane.run(_project_of, who)
            if project is None:
                raise S3Error("UnresolvableGrantByEmailAddress", "The e-mail address you provided does not match any account on record.")
            found.append(["user", project, permission])
        elif kind == "user":
            id = who.replace("-", "").lower()
            if not await _is_project(call, id):
                raise S3Error("InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=who)
            found.append(["user", id, permission])
        else:
            found.append([kind, who, permission])
    return found


async def _is_project(call: Call, id: str) -> bool:
    try:
        UUID(hex=id)
    except ValueError:
        return False
    return await call.plane.directory.find_account(id) is not None


def _project_of(email: str) -> str | None:
    """The project of the user with this address, if it is one alone: a grant must not go to a project that was guessed."""

    @visiting
    def look() -> str | None:
        projects = list(Membership.objects.filter(user__email__iexact=email).values_list("project_id", flat=True)[:2])
        return projects[0].hex if len(projects) == 1 else None

    return look()


def check_block(rules: Rules, grants: Acl) -> None:
    """The public-access block may refuse public grants; ownership may have switched ACLs off."""
    if rules.block.block_acls and acls.is_public(grants):
        raise S3Error("AccessDenied", "The bucket's public access block refuses public ACLs.")


def apply_headers(call: Call, properties: Properties) -> None:
    """Owner and ACL of a new object. The owner is who writes it; the bucket's project when the bucket says so."""
    bucket, who = call.bucket, call.who
    canned = call.header("x-amz-acl")
    named = canned is not None or not GRANT_HEADERS.keys().isdisjoint(call.headers)
    if bucket.acls_off:
        if named and canned != "bucket-owner-full-control":
            raise AclUnsupported("The bucket does not allow ACLs")
        return
    writer = who.project or bucket.owner
    if who.anonymous:
        writer = bucket.owner
    if not named:
        if writer != bucket.owner:
            properties.owner = writer
        return
    owner = writer
    if canned == "bucket-owner-full-control" and bucket.ownership == "preferred":
        owner = bucket.owner
    grants = asked(call.headers, owner=owner, bucket_owner=bucket.owner, for_object=True)
    assert grants is not None
    check_block(bucket, grants)
    if owner != bucket.owner:
        properties.owner = owner
    properties.acl = grants if grants != acls.default(owner) else []


def needs_resolving(properties: Properties) -> bool:
    return any(kind in ("email", "user") for kind, _, _ in properties.acl)


# --- the document


async def from_document(call: Call, document: xml.Element) -> tuple[str, list[Grant]]:
    """(owner, grants) of an AccessControlPolicy."""
    owner = document.find("Owner")
    listed = document.find("AccessControlList")
    if owner is None or listed is None:
        raise S3Error("MalformedACLError", "The XML you provided was not well-formed or did not validate against our published schema")
    grants = []
    for grant in listed.all("Grant"):
        grantee, permission = grant.find("Grantee"), grant.get("Permission")
        if grantee is None or permission not in acls.PERMISSIONS:
            raise S3Error("MalformedACLError", "A Grant has a Grantee and a Permission.")
        kind = grantee.attribute("type")
        if grantee.get("ID") is not None:
            grants.append(["user", grantee.need("ID"), permission])
        elif grantee.get("URI") is not None:
            grants.append([*_grantee("uri", grantee.need("URI")), permission])
        elif grantee.get("EmailAddress") is not None:
            grants.append(["email", grantee.need("EmailAddress"), permission])
        else:
            raise S3Error("MalformedACLError", f"A grantee of the type {kind or 'unknown'} has an ID, a URI or an EmailAddress.")
    return owner.need("ID").replace("-", "").lower(), await resolve(call, grants) or [acls.NOTHING]


async def rendered(call: Call, owner: str, grants: Acl) -> bytes:
    async def name_of(project: str) -> str:
        account = await call.plane.directory.find_account(project)
        return account.name if account else ""

    out = []
    for kind, who, permission in sorted(grants, key=lambda grant: grant[0] != "group"):
        if kind == "none":
            continue
        if kind == "user":
            names = xml.element("ID", who) + xml.element("DisplayName", await name_of(who))
            grantee = f'<Grantee {xml.XSI} xsi:type="CanonicalUser">{names}</Grantee>'
        else:
            grantee = f'<Grantee {xml.XSI} xsi:type="Group">{xml.element("URI", acls.GROUPS[who])}</Grantee>'
        out.append(f"<Grant>{grantee}{xml.element('Permission', permission)}</Grant>")
    return xml.document(
        "AccessControlPolicy",
        f"<Owner>{xml.element('ID', owner)}{xml.element('DisplayName', await name_of(owner))}</Owner>",
        f"<AccessControlList>{''.join(out)}</AccessControlList>",
    )
