"""`bin/cloudbox store check | dump | export | rebuild-index`: arguments in, exit status out."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cloudbox.common.errors import CloudError
from storage import drive_list
from storage.engine import DriveSpec
from storage.offline import check, dump, export, names, opening, rebuild
from storage.offline.names import Names

FAILED = 3  # It could not be looked at; 1 and 2 are what `check` says.
SAY_SECONDS = 2.0


def main(arguments: Sequence[str]) -> int:
    """Run a verb."""
    given = parser().parse_args(arguments)
    opening.raise_file_limit()
    try:
        return int(given.verb(given))
    except CloudError as error:
        print(f"cloudbox: {error.message}", file=sys.stderr)
    except (OSError, LookupError, ValueError) as error:
        print(f"cloudbox: {error}", file=sys.stderr)
    return FAILED


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="bin/cloudbox store", description="The object store without its server.")
    verbs = top.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, do: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(verb=do)
        added.add_argument("--home", type=Path, metavar="DIR", help="the box's home")
        added.add_argument("--drive", type=Path, action="append", default=[], metavar="DIR", help="a drive's folder; once for each")
        added.add_argument("--scratch", type=Path, metavar="DIR", help="where an index may be made, some 700 bytes per object")
        return added

    def reads(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
        one.add_argument("--names", type=Path, metavar="FILE", help="names of buckets: a copy of names.json, or {id: name}")
        return one

    one = reads(
        verb("check", _check, "read everything on every drive; exit status 0: all whole, 1: something lacks copies, 2: something is lost")
    )
    one.add_argument("--json", action="store_true", help="as JSON")
    one = reads(verb("dump", _dump, "what there is, as lines of JSON: buckets, objects, versions"))
    one.add_argument("--bucket", default="", help="of this bucket only, by name or id")
    one.add_argument("--prefix", default="", help="of objects whose names begin so")
    one = reads(verb("export", _export, "write objects as files, with a manifest; exit status 2: some could not be read"))
    one.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    one.add_argument("--bucket", default="", help="of this bucket only, by name or id")
    one.add_argument("--prefix", default="", help="of objects whose names begin so")
    one.add_argument("--versions", action="store_true", help="all versions, not only the latest")
    one = verb("rebuild-index", _rebuild, "make the server's index anew from the drives, while the server is stopped")
    one.add_argument("--accept-loss", action="store_true", help="even if drives are missing that may know more; they are given up")
    return top


def say(line: str) -> None:
    """Progress is for people, results are for pipes."""
    if sys.stderr.isatty():
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


class _Slowly:
    """Says something now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, line: str) -> None:
        if time.monotonic() - self._last > SAY_SECONDS:
            self._last = time.monotonic()
            say(line)


@contextlib.contextmanager
def _opened(given: argparse.Namespace) -> Iterator[tuple[opening.Opened, Names]]:
    place = opening.place(given.home, given.drive)
    was_running = opening.server_runs(place.index)
    if not was_running:
        say("reading the drives' records…")
    with opening.opened(place, scratch=given.scratch or opening.writable_scratch(given.home)) as store:
        yield store, _names(given, store)
    say("")
    if opening.server_runs(place.index) != was_running:
        raise OSError("The object store was started or stopped meanwhile, so this may be wrong. Run it again.")


def _names(given: argparse.Namespace, store: opening.Opened) -> Names:
    """From the file that was named, else PostgreSQL, which is newer, else the drives."""
    if given.names is not None:
        return names.from_file(given.names)
    return _from_tables(given.home) or names.from_drives(drive for _, drive in store.drives.values())


def _from_tables(home: Path | None) -> Names | None:
    """None if PostgreSQL does not answer."""
    if home is None or not any((home / "run" / "postgres").glob(".s.PGSQL.*")):
        return None  # Its socket goes when it stops; to wait for it would take half a minute.
    import django.db

    from storage import kept_names

    warnings.filterwarnings("ignore", "Accessing the database during app initialization")  # There are no apps here.
    try:
        return names.parsed(kept_names.document(kept_names.facts()))[1]
    except (django.db.Error, ValueError, KeyError):
        return None


def _check(given: argparse.Namespace) -> int:
    with _opened(given) as (store, known):
        report = check.check(store, known, say)
    print(json.dumps(report.document(), indent=2) if given.json else check.sentence(report))
    return report.status


def _dump(given: argparse.Namespace) -> int:
    with _opened(given) as (store, known):
        for line in dump.dump(store, known, bucket=given.bucket, prefix=os.fsencode(given.prefix)):
            print(line)
        if store.incomplete:
            print(f"cloudbox: {store.incomplete}", file=sys.stderr)
    return 0


def _export(given: argparse.Namespace) -> int:
    with _opened(given) as (store, known):
        done = export.export(
            store,
            known,
            given.to,
            bucket=given.bucket,
            prefix=os.fsencode(given.prefix),
            all_versions=given.versions,
            say=_Slowly(),
        )
        incomplete = store.incomplete
    print(f"{done.files:,} files with {done.bytes:,} bytes are in {given.to / 'buckets'}; manifest.jsonl beside it says what each one is.")
    if done.encrypted:
        print(f"{done.encrypted:,} of them are encrypted with keys that only their clients have.")
    if done.failed:
        print(f"{done.failed:,} could not be read: see those with an error in the manifest.")
    if incomplete:
        print(incomplete)
    return check.LOST if done.failed or incomplete else 0


def _rebuild(given: argparse.Namespace) -> int:
    place = opening.place(given.home, given.drive)
    if given.home is None:
        raise ValueError("Say whose index it is: --home DIR.")
    if opening.server_runs(place.index):
        raise OSError(opening.SERVER_RUNS)
    listed = drive_list.read(given.home / "store" / drive_list.NAME)
    specs = listed.specs if listed is not None and not given.drive else [DriveSpec(path, joins=False) for path in place.drives]
    _become_owner(place.drives)
    index = given.home / "store" / "index"
    done = rebuild.rebuild(specs, index, accept_loss=given.accept_loss)
    print(f"The index is made anew from {done.segments:,} segments with {done.records:,} records; {done.mended_records:,} were mended.")
    for drive in done.given_up:
        print(f"The drive {drive} is given up: if it comes back, it is emptied and joins as a new one.")
    return 0


def _become_owner(drives: Sequence[Path]) -> None:
    """Root would leave files behind that the account which serves cannot write."""
    owner = next((path.stat() for path in drives if drive_list.is_drive(path)), None)
    if os.geteuid() == 0 and owner is not None and owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        os.umask(0o077)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
