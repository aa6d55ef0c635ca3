"""The verbs of `bin/cloudbox`: arguments in, exit status out. Each verb's work lies in a module of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cloudbox.box import doctor, logs, pin, plan, postgres, programs, secret_files, status, store, supervisor, testing, up
from cloudbox.box.control import specs
from cloudbox.box.paths import DEFAULT_HOME, Box
from cloudbox.box.shell import Failed

ABOUT = """Cloudbox: a small cloud on one machine.

  sudo bin/cloudbox up        set this machine up and start the box; again: changes nothing, takes seconds
  sudo bin/cloudbox status    every component and its health
  bin/cloudbox doctor         what on this host would stop or slow a box, with remedies
  sudo bin/cloudbox test      everything that is checked about Cloudbox (--fast: the everyday part)
"""


def main(arguments: Sequence[str]) -> int:
    """Run a verb; what goes wrong comes out as a sentence and what to do, not as a traceback."""
    top = parser()
    parsed, words = top.parse_known_args(arguments)
    parsed.words = words
    if words and not parsed.takes_words:
        top.error(f"not understood: {' '.join(words)}")
    try:
        return int(parsed.verb(Box.at(getattr(parsed, "home", None)), parsed) or 0)
    except Failed as error:
        print(f"cloudbox: {error.message}", file=sys.stderr)
        for line in error.tail:
            print(f"    {line}", file=sys.stderr)
        if error.remedy:
            print(f"What to do: {error.remedy}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """All verbs with their options."""
    top = argparse.ArgumentParser(prog="bin/cloudbox", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = top.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, do: Callable[[Box, argparse.Namespace], int | None], text: str, *, hidden: bool = False) -> argparse.ArgumentParser:
        description = text[0].upper() + text[1:] + "."
        added = verbs.add_parser(name, description=description) if hidden else verbs.add_parser(name, description=description, help=text)
        added.set_defaults(verb=do, takes_words=False)
        added.add_argument("--home", metavar="DIR", help=f"the box's home (default: $CLOUDBOX_HOME, else {DEFAULT_HOME})")
        return added

    one = verb("up", _up, "set up what is missing and start the box; safe to run again at any time")
    one.add_argument("--port", type=_port, metavar="N", help="port of the portal and the APIs (default: as before, at first 8000)")
    one.add_argument("--bind", metavar="ADDRESS", help="address to listen on (default: as before, at first 0.0.0.0)")
    one.add_argument("--detach", action="store_true", help="return when the box is ready; without it, stay and end the box with Ctrl-C")
    one.add_argument(
        "--admin-email", metavar="EMAIL", default=plan.Options.admin_email, help="the first administrator (default: %(default)s)"
    )
    one.add_argument(
        "--tls-certificate",
        metavar="FILE",
        help="PEM file that the object store shows to clients, with --tls-key; `own`: one by the box's own authority (default: as before)",
    )
    one.add_argument(
        "--image-store",
        metavar="FILE",
        help="where images go: JSON of url, bucket, access_key, secret_key, perhaps region; or `own`: this box (default: as before)",
    )
    one.add_argument("--tls-key", metavar="FILE", help="its private key, PEM, readable by the account cloudbox")
    one = verb("down", lambda box, args: up.down(box, yes=args.yes), "stop the box: guests are shut down, and run again at the next `up`")
    one.add_argument("--yes", action="store_true", help="do not ask, even when guests run")
    one = verb("status", _status, "every component and its health; exit status 1 when one is not well")
    one.add_argument("--json", action="store_true", help="as JSON")
    one = verb("logs", _logs, "the logs of the box, or of one component")
    one.add_argument("-f", "--follow", action="store_true", help="go on with what is appended")
    one.add_argument("-n", "--lines", type=int, default=logs.LINES_SHOWN, metavar="N", help="how many last lines (default: %(default)s)")
    one.add_argument("component", nargs="?", help=f"one of: {' '.join((*programs.NAMES, *logs.OTHERS))}")
    one = verb(
        "doctor", _doctor, "what on this host would stop or slow a box, each with its remedy; exit status 1 when something would stop it"
    )
    one.add_argument("--port", type=_port, metavar="N", help="the port you would give to `up`")
    one.add_argument("--json", action="store_true", help="as JSON")
    for name, text in MANAGED.items():
        verb(name, _managed(name), text).set_defaults(takes_words=True)
    verb("store", store.run, store.TEXT).set_defaults(takes_words=True)
    one = verb("reset", lambda box, args: up.reset(box, yes=args.yes), "stop the box and delete everything in its home")
    one.add_argument("--yes", action="store_true", help="really")
    one = verb("test", testing.test, "run every check: format, lint, types, import contracts, Vagrantfile, tests")
    one.add_argument("--fast", action="store_true", help="without real machines and browser; under three minutes")
    one.epilog = "Whatever else is given goes to pytest (tests/box -k supervisor); the other checks are then left out."
    one.set_defaults(takes_words=True)
    verb("pin", pin.pin, "compile requirements/*.in to pinned versions with hashes")
    one = verb("run", _run, "one process of the box; for the supervisor and the units", hidden=True)
    one.add_argument("component", choices=[*programs.NAMES, "supervisor", "rotate"])
    return top


MANAGED = {
    "credentials": "credentials for clients: credentials [--format env | openrc | clouds.yaml | aws] [--email EMAIL] [--project NAME]",
    "user": "people: user create EMAIL [--name NAME] [--project NAME --role ROLE] [--box-role admin], user reset-password EMAIL",
    "project": "projects: project create NAME [--slug NAME] [--owner EMAIL]",
    "bench": "measure the box: bench [launch] (beside bare libvirt), bench live (the live channel), bench firewall (rules and "
    "floating IPs), bench storage (the object store), bench compute (the steps of disks beside qemu-img)",
}


def _port(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return number


def _up(box: Box, args: argparse.Namespace) -> int:
    return up.up(box, _options(args), detach=args.detach)


def _options(args: argparse.Namespace) -> plan.Options:
    certificate, key = args.tls_certificate, args.tls_key
    if certificate != "own" and (certificate is None) != (key is None):
        raise Failed("--tls-certificate and --tls-key go together", remedy="name both files, or --tls-certificate own")
    if certificate is not None:
        certificate, key = ("", "") if certificate == "own" else (os.path.abspath(certificate), os.path.abspath(key))
    store = None if args.image_store is None else {} if args.image_store == "own" else _image_store(Path(args.image_store))
    return plan.Options(
        port=args.port, bind=args.bind, admin_email=args.admin_email, tls_certificate=certificate, tls_key=key, image_store=store
    )


def _image_store(path: Path) -> dict[str, str]:
    """What the file tells of another S3."""
    remedy = f'write {path} as {{"url": "https://…", "bucket": "…", "access_key": "…", "secret_key": "…"}}'
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failed(f"--image-store: {error}", remedy=remedy) from error
    needed = {"url", "bucket", "access_key", "secret_key"}
    if not isinstance(told, dict) or not needed <= told.keys() <= needed | {"region"} or not all(isinstance(x, str) for x in told.values()):
        raise Failed("--image-store: the file names other things than it should", remedy=remedy)
    if not told["url"].startswith(("http://", "https://")):
        raise Failed("--image-store: the url is none of http or https", remedy=remedy)
    return told | {"url": told["url"].rstrip("/")}


def _need_box(box: Box) -> None:
    if not box.exists:
        raise Failed(f"there is no box in {box.home}", remedy=f"{up.command(box, 'up')} makes one; --home names another place")


def _status(box: Box, args: argparse.Namespace) -> int:
    up.need_root("status")
    _need_box(box)
    seen = status.look(box)
    print(json.dumps(seen, indent=2) if args.json else status.table(seen))
    return 0 if seen["healthy"] else 1


def _logs(box: Box, args: argparse.Namespace) -> None:
    _need_box(box)
    logs.show(box, args.component, lines=args.lines)
    if args.follow:
        logs.follow(box, args.component)


def _doctor(box: Box, args: argparse.Namespace) -> int:
    findings = doctor.examine(box, args.port)
    print(json.dumps([vars(finding) for finding in findings], indent=2) if args.json else doctor.report(findings))
    return 1 if any(finding.level == "stops" for finding in findings) else 0


def _managed(name: str) -> Callable[[Box, argparse.Namespace], int]:
    """Verbs about people and projects need the database, so Django does them: `manage.py box_<verb>`."""

    def do(box: Box, args: argparse.Namespace) -> int:
        up.need_root(name)
        _need_box(box)
        if not os.access(box.python, os.X_OK):
            raise Failed("the box is not set up to the end", remedy=up.command(box, "up"))
        if not postgres.answers(box):
            raise Failed(f"the box in {box.home} is down", remedy=up.command(box, "up"))
        words = [word for word in args.words if word != "--"]
        if name == "credentials" and "--email" not in words:
            words += ["--email", secret_files.admin(box)["admin_email"]]
        os.chdir(box.app)
        os.execve(box.python, [str(box.python), str(box.app / "manage.py"), f"box_{name}", *words], programs.environment(box))

    return do


def _run(box: Box, args: argparse.Namespace) -> None:
    if args.component == "supervisor":
        supervisor.become(box.run, specs(box))
    elif args.component == "rotate":
        supervisor.rotate(box.logs.glob("*.log"))
    else:
        programs.become(box, args.component)
