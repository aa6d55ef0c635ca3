"""What an agent in a guest tells of it, taken with tongs: a guest may say anything, so every text and every list is cut to size.

libvirt reads the guest's own words and hands them on as names and values
(https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainGetGuestInfo); here they become one small frozen record.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TEXT_MAX = 120
LIST_MAX = 32
BYTES_MAX = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class GuestFileSystem:
    """A mounted file system. Sizes in bytes; None: not told."""

    mountpoint: str
    type: str
    disk: str
    total_bytes: int | None
    used_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class GuestCard:
    """A network card as the guest sees it; addresses with their prefix length."""

    name: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GuestFacts:
    """The guest's word: to be shown, never to be trusted."""

    hostname: str = ""
    os: str = ""
    os_id: str = ""
    kernel: str = ""
    time_zone: str = ""
    file_systems: tuple[GuestFileSystem, ...] = ()
    cards: tuple[GuestCard, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def parse(told: Mapping[str, Any]) -> GuestFacts:
    """From libvirt's flat names. What is missing, of another type or nonsense is left out."""
    return GuestFacts(
        hostname=_text(told, "hostname"),
        os=_text(told, "os.pretty-name") or _text(told, "os.name"),
        os_id=_text(told, "os.id"),
        kernel=_text(told, "os.kernel-release"),
        time_zone=_text(told, "timezone.name"),
        file_systems=tuple(_file_system(told, f"fs.{n}.") for n in _range(told, "fs.count") if _text(told, f"fs.{n}.mountpoint")),
        cards=tuple(_card(told, f"if.{n}.") for n in _range(told, "if.count") if _text(told, f"if.{n}.name")),
    )


def _file_system(told: Mapping[str, Any], at: str) -> GuestFileSystem:
    total, used = _bytes(told, f"{at}total-bytes"), _bytes(told, f"{at}used-bytes")
    return GuestFileSystem(
        mountpoint=_text(told, f"{at}mountpoint"),
        type=_text(told, f"{at}fstype"),
        disk=_text(told, f"{at}name"),
        total_bytes=total,
        used_bytes=used if total is not None and used is not None and used <= total else None,
    )


def _card(told: Mapping[str, Any], at: str) -> GuestCard:
    found = (_address(told, f"{at}addr.{n}.") for n in _range(told, f"{at}addr.count"))
    return GuestCard(name=_text(told, f"{at}name"), mac=_text(told, f"{at}hwaddr"), addresses=tuple(filter(None, found)))


def _address(told: Mapping[str, Any], at: str) -> str:
    try:
        return str(ipaddress.ip_interface(f"{_text(told, f'{at}addr')}/{told.get(f'{at}prefix', '')}"))
    except ValueError:
        return ""


def _range(told: Mapping[str, Any], name: str) -> range:
    count = told.get(name)
    return range(min(count, LIST_MAX)) if isinstance(count, int) and not isinstance(count, bool) and count > 0 else range(0)


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return "".join(each for each in value[: 4 * TEXT_MAX] if each.isprintable())[:TEXT_MAX].strip() if isinstance(value, str) else ""


def _bytes(told: Mapping[str, Any], name: str) -> int | None:
    value = told.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= BYTES_MAX else None
