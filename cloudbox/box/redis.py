"""The box's own Redis: messages on their way and counters, nothing that must be kept; a Unix socket only."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from pathlib import Path

from cloudbox.box.paths import USER, Box, write_atomically

OS_USER = "redis"
SETTINGS = """\
port 0
bind 127.0.0.1
unixsocket {socket}
unixsocketperm 770
daemonize no
supervised no
logfile ""
dir {data}
save ""
appendonly no
databases 2
maxmemory 64mb
maxmemory-policy volatile-lru
maxclients 500
hz 5
"""


def config_file(box: Box) -> Path:
    return box.home / "redis" / "redis.conf"


def prepare(box: Box) -> None:
    """Folder, settings and the link run/redis.sock: the socket itself lies in a folder Redis may write to."""
    owner, group = pwd.getpwnam(OS_USER).pw_uid, grp.getgrnam(USER).gr_gid
    folder, real = box.home / "redis", box.run / "redis"
    for path in (folder, real):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, owner, group)
        path.chmod(0o750)
    text = SETTINGS.format(socket=real / "redis.sock", data=folder)
    if not config_file(box).exists() or config_file(box).read_text() != text:
        write_atomically(config_file(box), text)
    link = box.redis_socket
    if not link.is_symlink():
        link.unlink(missing_ok=True)
        link.symlink_to("redis/redis.sock")


def answers(box: Box) -> bool:
    """PING, by hand: four lines are no reason for a client library."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(box.redis_socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
