"""Which certificate the object store shows: one that the operator gave, or the box's own, made at `up` and made anew before it ends.

Settings in `box.json`: `store_tls_port` (none: no TLS), `store_tls_certificate` and `store_tls_key` (paths of PEM files; without them
the box makes its own). The authority that signs the box's own certificate keeps its key where only root reads it: whoever took the
serving process over could else pretend to be any site that its clients visit.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloudbox.common.errors import Invalid
from storage.server import tls
from storage.server.tls import Pair

DOMAINS, SITES, SWIFT = ("s3.localhost",), ("s3-website.localhost",), ("swift.localhost",)  # where box.json names none


def authority(home: Path) -> Pair:
    """The box's own authority: the file that clients are told to trust, and its key."""
    return Pair(home / "tls" / "ca.crt", home / "secrets" / "ca.key")


def given(box: Mapping[str, Any]) -> Pair | None:
    """The operator's pair, if there is one. Raises Invalid if only half of it is named."""
    certificate, key = box.get("store_tls_certificate"), box.get("store_tls_key")
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise Invalid("store_tls_certificate and store_tls_key are paths of files and go together.", field="store_tls_certificate")
    return Pair(Path(certificate), Path(key))


def pair(home: Path, box: Mapping[str, Any]) -> Pair:
    """What the object store shows."""
    return given(box) or Pair(home / "tls" / "store.crt", home / "tls" / "store.key")


def trusted(home: Path, box: Mapping[str, Any]) -> Path | None:
    """What clients have to be told to trust; None where a given certificate speaks for itself."""
    return None if given(box) else authority(home).certificate


def names(box: Mapping[str, Any]) -> list[str]:
    """All that clients may call this machine: what is configured, its own name, and its addresses."""
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    found += [host for host in box.get("hosts", ()) if host != "*" and not host.startswith(".")]
    for url in (box.get("url"), box.get("store_url")):
        if url and (host := urlsplit(url).hostname):
            found.append(host)
    domains = (("store_domains", DOMAINS), ("store_website_domains", SITES), ("store_swift_domains", SWIFT))
    for domain in (one for setting, usual in domains for one in box.get(setting, usual)):
        found += [domain, f"*.{domain}"]
    found += _addresses()
    return [name for name in dict.fromkeys(found) if name.isascii()]


def _addresses() -> list[str]:
    """Of all interfaces, without those that mean something on one link only."""
    shown = subprocess.run(["ip", "-json", "address"], capture_output=True, check=False).stdout
    try:
        interfaces = json.loads(shown)
    except ValueError:
        return []
    return [one["local"] for each in interfaces for one in each.get("addr_info", ()) if one.get("scope") == "global" and "local" in one]


def renew(home: Path, box: Mapping[str, Any]) -> bool:
    """See to it that there is a certificate for this box; True if one was made. Needs root, whose the authority's key is.

    Who may read the box's secrets may read the certificate's key: the account that serves. A pair that the operator gave is only looked
    at: Invalid says what is wrong with it.
    """
    if (own := given(box)) is not None:
        tls.context(own)
        return False
    root, leaf = authority(home), pair(home, box)
    leaf.key.parent.mkdir(exist_ok=True)
    leaf.key.parent.chmod(0o755)
    changed = tls.make_authority(root, f"Cloudbox {box.get('name', '')} authority")
    changed |= tls.issue(leaf, names(box), authority=root)
    os.chown(leaf.key, -1, root.key.parent.stat().st_gid)
    leaf.key.chmod(0o640)
    return changed
