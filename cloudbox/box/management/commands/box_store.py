"""`manage.py box_store`: the object store's drives from the command line, for `bin/cloudbox store drives | add | drain | …`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudbox.common.errors import CloudError
from identity.context import SYSTEM, Context
from storage import drives
from storage.models import DriveOrder, StoreDrive


class Command(BaseCommand):
    # The checks import every page of the portal; what runs here needs none of them.
    requires_system_checks: ClassVar[list[str]] = []
    help = "Show, add, drain, remove and replace the object store's drives. A drive is called by its folder or by the beginning of its id."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=CommandParser)
        one = verbs.add_parser("drives", help="what there is, and how it does")
        one.add_argument("--json", action="store_true")
        one = verbs.add_parser("add", help="let an empty folder, where a disk is mounted, become a drive")
        one.add_argument("path")
        one.add_argument("--weight", type=float, default=1.0, help="how much of what is new it gets beside the others")
        one.add_argument("--domain", default="", help="what it fails together with: a controller, a shelf")
        for verb, text in (
            ("drain", "put nothing new on it, and copy what it holds to the others"),
            ("keep", "drain it no longer"),
            ("remove", "let go of a drained drive, or give up a missing one"),
        ):
            verbs.add_parser(verb, help=text).add_argument("drive")
        one = verbs.add_parser("replace", help="a new drive takes the place of an old or missing one")
        one.add_argument("drive")
        one.add_argument("path")
        one = verbs.add_parser("set", help="another weight or failure domain")
        one.add_argument("drive")
        one.add_argument("--weight", type=float)
        one.add_argument("--domain")

    def handle(self, *args: Any, **options: Any) -> None:
        ctx = replace(SYSTEM, api="cli")
        try:
            if options["verb"] == "drives":
                self._show(ctx, as_json=options["json"])
                return
            order = drives.wait(self._order(ctx, options))
        except CloudError as error:
            raise CommandError(error.message) from error
        if order.said:
            self.stdout.write(order.said)
        if order.state == DriveOrder.State.WORKING or order.verb == DriveOrder.Verb.DRAIN:
            self.stdout.write("The object store is at it; `bin/cloudbox store drives` shows how far it is.")

    def _order(self, ctx: Context, options: dict[str, Any]) -> DriveOrder:
        verb = options["verb"]
        if verb == "add":
            return drives.add(ctx, options["path"], weight=options["weight"], domain=options["domain"])
        drive = self._find(ctx, options["drive"])
        if verb == "replace":
            return drives.replace(ctx, drive.pk, options["path"])
        if verb == "set":
            weight = drive.weight if options["weight"] is None else options["weight"]
            return drives.set_weight(ctx, drive.pk, weight, domain=options["domain"])
        plain = {"drain": drives.drain, "keep": drives.keep, "remove": drives.remove}
        return plain[verb](ctx, drive.pk)

    def _find(self, ctx: Context, called: str) -> StoreDrive:
        found = [one for one in drives.list_drives(ctx) if one.path == called.rstrip("/") or _begins(one.pk, called)]
        if len(found) != 1:
            there = ", ".join(one.path for one in drives.list_drives(ctx)) or "none yet"
            raise CommandError(f"{called} is {'more than one drive' if found else 'no drive'}. There are: {there}.")
        return found[0]

    def _show(self, ctx: Context, *, as_json: bool) -> None:
        rows = list(drives.list_drives(ctx))
        if as_json:
            told = [{"id": row.pk.hex, "path": row.path, "state": row.state, "weight": row.weight, "domain": row.domain} for row in rows]
            facts = [one | {"seen_at": row.seen_at.isoformat(), "facts": row.facts} for one, row in zip(told, rows, strict=True)]
            about = {key: value for key, value in drives.rounds(ctx).items() if key != "seen_at"}
            self.stdout.write(json.dumps({"drives": facts, "rounds": about}, indent=2))
            return
        if not rows:
            self.stdout.write("The object store has not told of its drives yet.")
        for row in rows:
            facts = row.facts
            fill = "" if facts.get("fill") is None else f"{100 * facts['fill']:5.1f} % full"
            done = "" if facts.get("drained_percent") is None else f"{facts['drained_percent']} % moved"
            self.stdout.write(
                f"{row.pk.hex[:8]}  {row.get_state_display():24} {fill:14} {facts.get('bytes', 0):>18,} bytes  {row.path}  {done}"
            )
        queue = drives.rounds(ctx).get("queue", {})
        if queue.get("pieces"):
            self.stdout.write(f"{queue['pieces']:,} pieces with {queue['bytes']:,} bytes wait to be copied.")


def _begins(id: UUID, called: str) -> bool:
    return len(called) >= 4 and id.hex.startswith(called.replace("-", "").lower())
