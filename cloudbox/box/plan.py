"""The steps of `up`, as a table: what each makes true, how it is seen to be true already, and what helps when it fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudbox.box import code, environments, host, packages, postgres, processes, programs, secret_files
from cloudbox.box.paths import Box, read_stamp, write_stamp
from cloudbox.box.shell import Failed, Log, run
from cloudbox.box.steps import Step

HEALTH_SECONDS_MAX = 90.0
# Parts of browser packages that no page loads: the web would hold each in its list of files, and some name files not shipped.
NOT_PUBLISHED = ("tabler-*", "*.rtl.*", "*.map", "*.ts", "src", "typings")
# Who has ended so often while we wait will not get well by itself.
RESTARTS_MAX = 5
# What of box.json the processes read when they start.
TOLD = "port store_port store_tls_port store_tls_certificate store_tls_key image_store bind hosts accelerator url".split()


@dataclass(frozen=True)
class Options:
    """What the person who runs `up` chose; None is "as before, or as usual"."""

    port: int | None = None
    bind: str | None = None
    admin_email: str = "admin@cloudbox.local"
    tls_certificate: str | None = None  # "" stands for the box's own
    tls_key: str | None = None
    image_store: dict[str, str] | None = None  # {} stands for the box's own


class Plan:
    """The table for one box and one run of `up`."""

    def __init__(self, box: Box, options: Options) -> None:
        self.box = box
        self.options = options
        self.code_hash = code.tree_hash()

    def steps(self) -> list[Step]:
        box = self.box
        return [
            Step(
                "packages",
                "System packages",
                lambda log: packages.install(packages.wanted(packages.distribution()), log=log),
                done=lambda: not packages.missing(packages.wanted(packages.distribution())),
                remedy="See above. No network? `apt-get update` must work. Packages half configured? `dpkg --configure -a`.",
            ),
            Step("accounts", "System users", lambda log: host.make_accounts(log=log), done=host.accounts_exist, needs=("packages",)),
            Step("home", "Home, secrets, port", self.make_home, done=self.home_is_made, needs=("accounts",)),
            Step(
                "python",
                "Python environment",
                lambda log: environments.build_venv(log=log),
                done=lambda: environments.is_complete(environments.venv_folder()),
                needs=("packages",),
                remedy="pip must reach a package index (settings: /etc/pip.conf). The lines above say which package it was about.",
            ),
            Step(
                "postgres",
                "PostgreSQL cluster",
                lambda log: postgres.create_cluster(box, log=log),
                done=lambda: (postgres.data_folder(box) / "PG_VERSION").exists(),
                needs=("home",),
            ),
            Step(
                "browser",
                "Browser packages (npm ci)",
                lambda log: environments.build_node(log=log),
                done=lambda: environments.is_complete(environments.node_folder()),
                needs=("packages",),
                remedy="npm must reach its registry (`npm ping`); the lines above say which package it was about.",
            ),
            Step("code", "Code of the box", self.lay_code, done=self.code_is_laid, needs=("home", "python", "browser")),
            Step("accelerator", "KVM probe", self.probe, done=lambda: "accelerator" in box.config(), needs=("home",)),
            Step(
                "services",
                "PostgreSQL and Redis running",
                self.start_services,
                done=lambda: self.run_already("postgres", "redis"),
                needs=("code", "postgres"),
                remedy=f"see {box.logs}/postgres.log and {box.logs}/redis.log",
            ),
            Step(
                "libvirt",
                "Private network and libvirt",
                self.start_libvirt,
                done=lambda: self.run_already("libvirtd"),
                needs=("code",),
                remedy=f"see {box.logs}/libvirtd.log, and run bin/cloudbox doctor for what the kernel lacks",
            ),
            Step(
                "image",
                "Demo image",
                lambda log: host.build_demo_image(log=log),
                done=lambda: environments.is_complete(host.demo_folder()),
                needs=("packages",),
                remedy="it is built from Debian packages by `apt-get download`; see that `apt-get update` works",
            ),
            Step("static", "Static files", self.collect_static, done=lambda: read_stamp(box, "static") == self.program, needs=("code",)),
            Step("migrate", "Database tables", self.migrate, done=lambda: self.stamped("migrate"), needs=("services", "accelerator")),
            Step("seed", "Administrator, demo project", self.seed, done=lambda: self.stamped("seed"), needs=("migrate", "image")),
            Step(
                "certificates",
                "Certificate of the object store",
                lambda log: self.certificates(log),
                done=lambda: self.stamped("certificates"),
                needs=("code", "accelerator"),
                remedy="--tls-certificate FILE --tls-key FILE name another pair, --tls-certificate own has the box make its own",
            ),
            Step(
                "serve",
                "Web, worker and object store running",
                self.serve,
                done=lambda: self.stamped("serving") and self.run_already("web", "worker", "store"),
                needs=("seed", "static", "libvirt", "certificates"),
                remedy=f"see web.log, worker.log and store.log in {box.logs} (bin/cloudbox logs web)",
            ),
        ]

    # --- what stands for "these inputs"

    @property
    def program(self) -> str:
        """Code and environments in one word."""
        return f"{self.code_hash} {environments.venv_folder().name} {environments.node_folder().name}"

    @property
    def build(self) -> str:
        """The program and what it is told in one word: a process that runs another build is not up to date."""
        config = self.box.config()
        told = json.dumps([config.get(key) for key in TOLD])
        return f"{self.program} {told}"

    def stamped(self, name: str) -> bool:
        return read_stamp(self.box, name) == self.build

    def stamp(self, name: str) -> None:
        write_stamp(self.box, name, self.build)

    # --- the steps that need more than a line

    def home_is_made(self) -> bool:
        config = self.box.config()
        kept = self.options.port in (None, config.get("port")) and self.options.bind in (None, config.get("bind"))
        return (
            kept
            and "port" in config
            and "store_tls_port" in config
            and all(config.get(name, "") == value for name, value in self.tls_files().items())
            and all(config.get(name, {}) == value for name, value in self.image_store().items())
            and (self.options.image_store is None or secret_files.image_store(self.box) == self.options.image_store)
            and secret_files.are_made(self.box)
            and all((self.box.home / f).is_dir() for f in host.FOLDERS)
        )

    def tls_files(self) -> dict[str, str]:
        """What this `up` says of them."""
        told = {"store_tls_certificate": self.options.tls_certificate, "store_tls_key": self.options.tls_key}
        return {name: value for name, value in told.items() if value is not None}

    def image_store(self) -> dict[str, dict[str, str]]:
        """What this `up` says of it, but for its keys."""
        told = self.options.image_store
        return {} if told is None else {"image_store": {name: value for name, value in told.items() if not name.endswith("_key")}}

    def make_home(self, log: Log) -> str:
        box = self.box
        host.check_home(box)
        host.make_home(box)
        port = host.choose_port(box, self.options.port)
        secret_files.make(box, admin_email=self.options.admin_email)
        if self.options.image_store is not None:
            secret_files.keep_image_store(box, self.options.image_store)
        before = box.config()
        box.write_config(
            {
                "name": box.name,
                "port": port,
                **host.choose_store_ports(box, port),
                **self.tls_files(),
                **self.image_store(),
                "bind": self.options.bind or before.get("bind", "0.0.0.0"),
                "hosts": before.get("hosts", ["*"]),
                "drivers": before.get("drivers", "libvirt"),
                "demo_kernel": before.get("demo_kernel", False),
            }
        )
        log(f"box {box.name} in {box.home}, port {port}")
        return f"{box.name}, port {port}"

    def code_is_laid(self) -> bool:
        box = self.box
        return (
            code.current(box) == self.code_hash
            and box.venv.is_symlink()
            and box.venv.resolve() == environments.venv_folder()
            and box.config().get("node_modules") == str(environments.node_folder() / "node_modules")
        )

    def lay_code(self, log: Log) -> None:
        environments.publish(environments.venv_folder(), self.box.venv)
        self.box.write_config({"node_modules": str(environments.node_folder() / "node_modules")})
        code.copy(self.box, log=log)

    def probe(self, log: Log) -> str:
        found = host.probe_accelerator(self.box)
        log(found)
        return found

    def run_already(self, *names: str) -> bool:
        """Whether all of these run and answer. A busy one is asked twice: one late answer is no reason to do a step again."""
        states = processes.state(self.box)
        return all(
            states.get(name, {}).get("state") == "running" and (programs.healthy(self.box, name) or programs.healthy(self.box, name))
            for name in names
        )

    def start_services(self, log: Log) -> None:
        postgres.write_settings(self.box, postgres.data_folder(self.box))
        processes.start(self.box, ["postgres", "redis"], log=log)
        self.wait_for("postgres", lambda: postgres.answers(self.box), seconds=60)
        self.wait_for("redis", lambda: programs.healthy(self.box, "redis"), seconds=20)
        postgres.create_database(self.box, log=log)

    def start_libvirt(self, log: Log) -> None:
        processes.start(self.box, ["libvirtd"], log=log)
        self.wait_for("libvirtd", lambda: programs.healthy(self.box, "libvirtd"), seconds=60)

    def manage(self, *words: str, log: Log, stdin: str | None = None) -> str:
        return run([self.box.python, self.box.app / "manage.py", *words], log=log, env=programs.environment(self.box), stdin=stdin)

    def collect_static(self, log: Log) -> None:
        left_out = [word for pattern in NOT_PUBLISHED for word in ("--ignore", pattern)]
        self.manage("collectstatic", "--no-input", "-v", "0", *left_out, log=log)
        # Not the whole build: the accelerator may not be known yet, since its probe runs beside this step.
        write_stamp(self.box, "static", self.program)

    def migrate(self, log: Log) -> None:
        self.manage("migrate", "--no-input", "-v", "1", log=log)
        self.stamp("migrate")

    def seed(self, log: Log) -> None:
        words = secret_files.admin(self.box) | {"demo_image": str(host.demo_image())}
        self.manage("seed_box", log=log, stdin=json.dumps(words))
        self.stamp("seed")

    def certificates(self, log: Log) -> str:
        made = self.manage("box_certificates", log=log).strip()
        self.stamp("certificates")
        return made

    def serve(self, log: Log) -> str:
        """Start them; where they run another build, have them run this one."""
        states = processes.state(self.box)
        run_now = [name for name in ("worker", "store", "web") if states.get(name, {}).get("state") in ("running", "waiting")]
        outdated = [] if self.stamped("serving") else run_now
        if outdated:
            programs.prepare_network(self.box)  # the port may be another one
            before = {name: states[name].get("pid") for name in outdated}
            processes.restart(self.box, outdated, log=log)
            self.wait_for_others(before)
        processes.start(self.box, list(programs.NAMES), log=log)
        self.stamp("serving")
        for name in ("web", "worker", "store"):
            self.wait_for(name, partial(programs.healthy, self.box, name), seconds=HEALTH_SECONDS_MAX)
        return "restarted with the new code" if outdated else ""

    def wait_for(self, name: str, condition: Callable[[], bool], *, seconds: float) -> None:
        """Until it serves; what its log says last goes into the error."""
        began = time.monotonic()
        before = self.restarts(name)
        while not condition():
            waited = time.monotonic() - began
            if waited > seconds or self.restarts(name) - before >= RESTARTS_MAX:
                try:
                    why = programs.HEALTH[name](self.box)
                except Failed as error:
                    why = error.message
                raise Failed(f"{name} does not serve after {waited:.0f} s: {why}", tail=last_lines(self.box.logs / f"{name}.log"))
            time.sleep(0.2)

    def wait_for_others(self, pids: dict[str, int | None]) -> None:
        """Until other processes stand in the place of these: the old ones answer, too, while they end."""
        deadline = time.monotonic() + HEALTH_SECONDS_MAX
        while any(processes.state(self.box)[name].get("pid") in (None, pid) for name, pid in pids.items()):
            if time.monotonic() > deadline:
                raise Failed(f"{' and '.join(pids)} did not start again")
            time.sleep(0.1)

    def restarts(self, name: str) -> int:
        return int(processes.state(self.box).get(name, {}).get("restarts", 0))


def last_lines(path: Path, count: int = 12) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
