"""What the firewall has counted, read from the kernel: how many connections each rule has let pass."""

from __future__ import annotations

import json
from collections import Counter
from uuid import UUID

from compute.drivers import netns
from compute.drivers.commands import run
from compute.drivers.fabric.rules import rule_of


def take(box: str) -> Counter[UUID]:
    """Read all counters and set them to zero, as one step of the kernel's: nothing is counted twice, nothing in between is lost."""
    answer = run([*netns.enter(box), "nft", "-j", "reset", "counters"])
    found: Counter[UUID] = Counter()
    for each in json.loads(answer or "{}").get("nftables", []):
        counter = each.get("counter", {})
        rule = rule_of(counter.get("name", ""))
        if rule is not None and counter["packets"]:
            found[rule] += counter["packets"]
    return found
