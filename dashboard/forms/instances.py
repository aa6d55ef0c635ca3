"""What the launch form and the settings of an instance hold, from text to meaning; values are kept when something is wrong."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import QueryDict

from cloudbox.common.errors import CloudError, Invalid
from compute.boot_volumes import BootVolume
from compute.instances import LaunchSpec

# The verbs' names of fields -> the form's.
FIELDS = {
    "image_id": "image",
    "flavor_id": "size",
    "keypair_id": "key",
    "network_ids": "network",
    "security_group_ids": "group",
    "disk_gib": "disk",
    "boot_volume_id": "root",
    "boot_snapshot_id": "root",
    "boot_type_id": "root",
}
_MANY = ("network", "group")
_ONE = (
    "name",
    "image",
    "size",
    "key",
    "count",
    "disk",
    "tags",
    "hostname",
    "user_data",
    "token",
    "root",
    "root_dies",
    "config_drive",
    "anyway",
)


@dataclass
class LaunchForm:
    """The form as typed. Ids are text until `spec` reads them."""

    values: dict[str, str]
    many: dict[str, list[str]]
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: QueryDict) -> LaunchForm:
        return cls({name: data.get(name, "") for name in _ONE}, {name: data.getlist(name) for name in _MANY})

    def choose(self, name: str, among: Sequence[Any], *, first: bool = True) -> None:
        """Let a link say `image=debian-12`: names become ids; without a choice the first one is taken."""
        wanted = self.values[name].strip().lower()
        found = next(
            (one for one in among if wanted and wanted in (str(one.id), one.name.lower(), one.name.lower().replace(" ", "-"))), None
        )
        if found is None and first and among and not wanted:
            found = among[0]
        if found is not None:
            self.values[name] = str(found.id)

    def choose_many(self, name: str, among: Sequence[Any]) -> None:
        wanted = {text.strip().lower() for text in self.many[name]}
        self.many[name] = [str(one.id) for one in among if str(one.id) in wanted or one.name.lower() in wanted]

    def fail(self, error: CloudError) -> None:
        """Put the sentence where it belongs: under its field, or above the button."""
        known = FIELDS.get(error.field or "", error.field or "")
        self.errors[known if known in (*_ONE, *_MANY) and known != "token" else "form"] = error.message

    def spec(self) -> LaunchSpec:
        """The request; every field that cannot be read is marked before this raises."""
        values = self.values
        boot = self._read("root", lambda: boot_of(values["root"], dies=bool(values["root_dies"])))
        spec = {
            "name": values["name"].strip(),
            "boot": boot,
            # What it boots from may bring its system along.
            "image_id": None
            if boot is not None and boot.has_system
            else self._read("image", lambda: _uuid(values["image"], "Choose an image.", "image_id")),
            "flavor_id": self._read("size", lambda: _uuid(values["size"], "Choose a size.", "flavor_id")),
            "keypair_id": self._read(
                "key", lambda: _uuid(values["key"], "Choose a key of this list.", "keypair_id") if values["key"] else None
            ),
            "network_ids": self._read(
                "network", lambda: tuple(_uuid(text, "Choose networks of this list.", "network_ids") for text in self.many["network"])
            ),
            "security_group_ids": self._read(
                "group", lambda: tuple(_uuid(text, "Choose groups of this list.", "security_group_ids") for text in self.many["group"])
            ),
            "tags": self._read("tags", lambda: tags_of(values["tags"])),
            "count": self._read("count", lambda: _whole(values["count"] or "1", "count")),
            "disk_gib": self._read("disk", lambda: _whole(values["disk"], "disk_gib") if values["disk"].strip() else None),
        }
        if self.errors:
            raise Invalid("Some fields need another look.")
        return LaunchSpec(
            **spec,  # type: ignore[arg-type]
            hostname=values["hostname"].strip(),
            config_drive={"": None, "none": ""}.get(values["config_drive"], values["config_drive"]),
            # Browsers send text areas with CR LF; a script with that in its first line does not run.
            user_data=values["user_data"].replace("\r\n", "\n").encode(),
            token=values["token"] or None,
        )

    def _read(self, name: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except CloudError as error:
            self.errors[name] = error.message
            return None

    def body(self) -> dict[str, Any]:
        """The same request as JSON for the REST API, as far as it is typed; what has its default is left out."""
        values = self.values
        body: dict[str, Any] = {"name": values["name"].strip() or "web-1", "image_id": values["image"], "flavor_id": values["size"]}
        kind, _, id = values["root"].partition(":")
        if kind in ("volume", "snapshot"):
            body = {name: value for name, value in body.items() if name != "image_id"} | {f"boot_{kind}_id": id}
        elif kind == "new":
            body["boot_on_volume"] = True
        if kind and values["root_dies"]:
            body["boot_volume_dies"] = True
        for name, key in (("keypair_id", "key"), ("hostname", "hostname"), ("user_data", "user_data")):
            if values[key].strip():
                body[name] = values[key]
        if values["config_drive"]:
            body["config_drive"] = "" if values["config_drive"] == "none" else values["config_drive"]
        for name, key in (("network_ids", "network"), ("security_group_ids", "group")):
            if self.many[key]:
                body[name] = self.many[key]
        for name, key in (("disk_gib", "disk"), ("count", "count")):
            if values[key].strip().isdecimal() and not (name == "count" and values[key].strip() == "1"):
                body[name] = int(values[key])
        try:
            tags = tags_of(values["tags"])
        except CloudError:
            tags = {}
        return body | ({"tags": tags} if tags else {})


def boot_of(text: str, *, dies: bool) -> BootVolume | None:
    """`new`, `volume:<id>`, `snapshot:<id>` or `whole:<id>` (of a whole instance); empty: a root disk of its own."""
    kind, _, id = text.partition(":")
    if not kind:
        return None
    if kind == "new":
        return BootVolume(dies=dies)
    names = {"volume": "volume_id", "snapshot": "snapshot_id", "whole": "instance_snapshot_id"}
    if kind not in names:
        raise Invalid("Choose one of the list.", field="root")
    return BootVolume(**{names[kind]: _uuid(id, "Choose one of the list.", "root")}, dies=dies)  # type: ignore[arg-type]


def new_token() -> str:
    """Sent with the form, so that pressing twice launches once."""
    return f"form-{uuid.uuid4()}"


def curl(project: str, body: Mapping[str, Any], origin: str) -> str:
    """The request as a command; the token is a variable."""
    text = json.dumps(body, indent=2, ensure_ascii=False).replace("'", "'\\''")
    return (
        f"curl {origin}/api/v1/projects/{project}/instances \\\n"
        '  -H "Authorization: Bearer $CLOUDBOX_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{text}'"
    )


def tags_of(text: str) -> dict[str, str]:
    """`env=prod, role=web`; a word alone is a key without a value."""
    found = {}
    for part in text.replace("\n", ",").split(","):
        if part.strip():
            key, _, value = part.partition("=")
            found[key.strip()] = value.strip()
    return found


def tags_text(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" if value else key for key, value in tags.items())


def pairs_of(text: str) -> dict[str, str]:
    """A line each, `key=value`; the value may hold what it likes but a new line."""
    found = {}
    for line in text.splitlines():
        if line.strip():
            key, sign, value = line.partition("=")
            if not sign:
                raise Invalid(f"The line {line.strip()[:64]} has no “=” between key and value.", field="metadata")
            found[key.strip()] = value.strip()
    return found


def pairs_text(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={value}" for key, value in pairs.items())


def uuids(texts: Iterable[str]) -> list[UUID]:
    """Ids of a posted list; what is none is left out, as what is a stranger's is not found."""
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _uuid(text: str, otherwise: str, name: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid(otherwise, field=name) from error


def _whole(text: str, name: str) -> int:
    text = text.strip()
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise Invalid("Write a whole number.", field=name)
    return int(text)
