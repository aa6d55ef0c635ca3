"""Every periodic task of the house, in one table. The worker's ticker runs them, each in a thread, never two of a name at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from cloudbox.common import events
from compute import backup_schedules, desired_balancers, desired_vpn, guest_rounds, image_copies, metrics, office_hours, reconcilers
from identity import tokens
from storage import certificates, deliveries


@dataclass(frozen=True)
class Periodic:
    name: str
    every_seconds: float
    run: Callable[[], Any]


TABLE = (
    Periodic("seal", 2, events.seal),
    Periodic("powers", 10, reconcilers.powers),
    Periodic("networks", 20, reconcilers.networks),
    Periodic("hits", 10, reconcilers.hits),
    Periodic("balancers", 5, desired_balancers.observe),
    Periodic("vpn", 10, desired_vpn.observe),
    Periodic("orphans", 30, reconcilers.orphans),
    Periodic("volumes", 30, reconcilers.volumes),
    Periodic("images", 300, reconcilers.images),
    Periodic("image-copies", 10, image_copies.tend),
    Periodic("windows", 60, reconcilers.windows),
    Periodic("guests", 30, guest_rounds.ask),
    Periodic("hours", 15, office_hours.apply),
    Periodic("backups", 30, reconcilers.backups.on_their_way),
    Periodic("backup-schedules", 30, backup_schedules.run),
    Periodic("books", 60, reconcilers.books),
    Periodic("leftovers", 300, reconcilers.leftovers),
    Periodic("metrics", 60, metrics.roll_up),
    Periodic("tokens", 3600, tokens.prune),
    Periodic("webhooks", 1, deliveries.deliver),
    Periodic("deliveries", 3600, deliveries.prune),
    Periodic("certificates", 86400, lambda: certificates.renew(settings.HOME, settings.BOX)),
)
