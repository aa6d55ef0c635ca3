"""The box's own PostgreSQL: a cluster in the home, reached by a Unix socket only, small in memory."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from pathlib import Path

from cloudbox.box.paths import USER, Box, write_atomically
from cloudbox.box.shell import Failed, Log, Word, output, run

OS_USER = "postgres"
DATABASE = ROLE = "cloudbox"
BINARIES = Path("/usr/lib/postgresql")
# A box is one small cloud: what matters is that an idle one is small. `fsync` stays on: rows are promises.
SETTINGS = """\
listen_addresses = ''
unix_socket_permissions = 0777
max_connections = 60
shared_buffers = 16MB
work_mem = 4MB
maintenance_work_mem = 32MB
temp_buffers = 2MB
wal_level = minimal
max_wal_senders = 0
max_wal_size = 256MB
min_wal_size = 48MB
wal_compression = on
max_worker_processes = 2
max_parallel_workers = 0
max_parallel_workers_per_gather = 0
autovacuum_max_workers = 1
jit = off
huge_pages = off
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C.UTF-8'
log_line_prefix = '%m [%p] '
log_min_duration_statement = 1000
log_checkpoints = off
idle_in_transaction_session_timeout = 60000
"""
UNSAFE_BUT_FAST = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n"
# The kernel says who is at the other end of the socket; the map says which role they may take. No passwords.
HBA = "local all all peer map=box\n"


def data_folder(box: Box) -> Path:
    return box.home / "pg"


def binaries(box: Box) -> Path:
    """The folder of programs that fit the cluster; for a new cluster the newest."""
    version_file = data_folder(box) / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        found = BINARIES / version / "bin"
        if not (found / "postgres").exists():
            raise Failed(
                f"the box's database was made by PostgreSQL {version}, which is not installed",
                remedy=f"install it: apt-get install postgresql-{version}",
            )
        return found
    versions = sorted((int(path.name) for path in BINARIES.glob("[0-9]*") if (path / "bin" / "initdb").exists()), reverse=True)
    if not versions:
        raise Failed("PostgreSQL's programs are not installed", remedy="apt-get install postgresql")
    return BINARIES / str(versions[0]) / "bin"


def prepare_socket_folder(box: Box) -> None:
    owner = pwd.getpwnam(OS_USER)
    box.postgres_socket.mkdir(parents=True, exist_ok=True)
    os.chown(box.postgres_socket, owner.pw_uid, owner.pw_gid)


def create_cluster(box: Box, *, log: Log, fast: bool = False) -> None:
    """initdb into a folder beside, then rename: a half-made cluster is never taken for one."""
    folder, beside = data_folder(box), box.home / "pg.new"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    owner = pwd.getpwnam(OS_USER)
    os.chown(beside, owner.pw_uid, owner.pw_gid)
    more = ["--no-sync"] if fast else []
    initdb: list[Word] = [binaries(box) / "initdb", "-D", beside, "-U", OS_USER, "-A", "peer", "-E", "UTF8", "--locale=C.UTF-8", *more]
    run(initdb, log=log, user=OS_USER)
    write_settings(box, beside, fast=fast)
    if folder.exists():
        raise Failed(f"{folder} is there already, yet is no cluster", remedy=f"look what it is, and move it away: mv {folder} {folder}.old")
    beside.rename(folder)


def write_settings(box: Box, folder: Path, *, fast: bool = False) -> bool:
    """Our settings, in files of their own; True when something changed."""
    names = sorted({OS_USER, "root", USER} | ({pwd.getpwuid(os.getuid()).pw_name} if fast else set()))
    files = {
        "cloudbox.conf": SETTINGS + (UNSAFE_BUT_FAST if fast else "") + f"unix_socket_directories = '{box.postgres_socket}'\n",
        "pg_hba.conf": HBA,
        "pg_ident.conf": "".join(f"box {name} {ROLE}\n" for name in names) + f"box {OS_USER} {OS_USER}\nbox root {OS_USER}\n",
    }
    owner = pwd.getpwnam(OS_USER)
    changed = False
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text, mode=0o600)
            os.chown(path, owner.pw_uid, owner.pw_gid)
            changed = True
    main = folder / "postgresql.conf"
    include = "include 'cloudbox.conf'"
    if not re.search(rf"^{re.escape(include)}", main.read_text(), re.M):
        with main.open("a") as file:
            file.write(f"{include}\n")
        changed = True
    return changed


def psql(box: Box, statement: str, *, database: str = DATABASE, role: str = ROLE) -> str | None:
    """One statement's plain answer, or None when the server does not give one."""
    answer = output(
        ["psql", "-h", box.postgres_socket, "-U", role, "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement],
        timeout_seconds=5,
    )
    return None if answer is None else answer.strip()


def answers(box: Box) -> bool:
    return psql(box, "select 1", database="postgres", role=OS_USER) == "1"


def create_database(box: Box, *, log: Log) -> None:
    """The role and the database, where missing."""
    connect: list[Word] = ["psql", "-h", box.postgres_socket, "-U", OS_USER, "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c"]
    if not run([*connect, f"select 1 from pg_roles where rolname = '{ROLE}'"], log=log).strip():
        run([*connect, f"create role {ROLE} login createdb"], log=log)
    if not run([*connect, f"select 1 from pg_database where datname = '{DATABASE}'"], log=log).strip():
        run([*connect, f"create database {DATABASE} owner {ROLE}"], log=log)
