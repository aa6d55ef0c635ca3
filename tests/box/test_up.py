"""The whole command on this machine: set up a box, look at it, hurt it, stop it, and see that nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudbox.box import proc
from tests.whole_box import WholeBox, free_port, whole_box

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="setting a box up needs root")]


@pytest.fixture(scope="module")
def cloudbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeBox]:
    """A box of its own, up; gone afterwards, whatever happened."""
    with whole_box(tmp_path_factory.mktemp("checkout")) as command:
        with socket.socket() as other:
            other.bind(("0.0.0.0", 0))
            other.listen()
            taken = other.getsockname()[1]
            failed = command("up", "--detach", "--port", str(taken), expect=1)
            assert f"port {taken} is taken" in failed.stderr
            assert "What to do: choose another: --port" in failed.stderr
        # The second try goes on from there.
        done = command("up", "--detach", "--port", str(free_port()))
        assert "Ready in" in done.stdout
        assert "Password" in done.stdout
        yield command


def test_everything_serves(cloudbox: WholeBox) -> None:
    """After `up` every component is healthy, the web answers, and the processes run as whom they should."""
    status = cloudbox.status()
    assert status["healthy"], json.dumps(status, indent=1)
    with urllib.request.urlopen(f"{status['url']}/healthz", timeout=5) as answer:
        assert answer.status == 200
    owners = {each["component"]: Path(f"/proc/{each['pid']}").owner() for each in status["components"]}
    assert owners == {
        "postgres": "postgres",
        "redis": "redis",
        "libvirtd": "root",
        "worker": "root",
        "store": "cloudbox",
        "web": "cloudbox",
    }
    web = Path(f"/proc/{cloudbox.component('web')['pid']}/status").read_text()
    assert "CapEff:\t0000000000000000" in web
    assert "NoNewPrivs:\t1" in web
    # When it has come to rest: at first the demo image is copied into the object store. The aim is 400 MiB; with all that the pages and
    # dialects have grown by it is 405 to 412, and this is here so that it does not grow unseen.
    cloudbox.wait(lambda: cloudbox.status()["pss_bytes"] < 425 * 2**20)


def test_a_second_up_changes_nothing(cloudbox: WholeBox) -> None:
    """No step has anything to do, no process is restarted, no file of the configuration touched."""
    before = {each["component"]: each["pid"] for each in cloudbox.status()["components"]}
    written = cloudbox.box.config_file.stat().st_mtime_ns
    done = cloudbox("up", "--detach")
    assert "nothing to change" in done.stdout, done.stdout
    assert {each["component"]: each["pid"] for each in cloudbox.status()["components"]} == before
    assert cloudbox.box.config_file.stat().st_mtime_ns == written


def test_the_web_cannot_read_what_is_not_its_own(cloudbox: WholeBox) -> None:
    """The unprivileged user sees neither the administrator's first password nor libvirt's socket nor the database's files."""
    home = cloudbox.box.home
    as_web = ["setpriv", "--reuid=cloudbox", "--regid=cloudbox", "--clear-groups"]
    for path in (home / "secrets" / "admin.json", home / "pg" / "PG_VERSION"):
        assert subprocess.run([*as_web, "cat", path], capture_output=True, check=False).returncode != 0
    connect = [*as_web, "/usr/bin/python3", "-c", "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"]
    for path in (home / "run" / "libvirt" / "libvirt-sock", home / "run" / "supervisor.sock"):
        assert subprocess.run([*connect, path], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("name", ["web", "worker", "store", "redis", "libvirtd", "postgres"])
def test_killed_processes_come_back(cloudbox: WholeBox, name: str) -> None:
    """kill -9 of any component: it serves again by itself."""
    pid = cloudbox.component(name)["pid"]
    os.kill(pid, signal.SIGKILL)
    cloudbox.wait(lambda: (seen := cloudbox.component(name))["healthy"] and seen["pid"] != pid)
    cloudbox.wait(lambda: cloudbox.status()["healthy"])


def test_logs_and_credentials(cloudbox: WholeBox) -> None:
    """Each process has a log; credentials print a token that the API takes."""
    assert cloudbox("logs", "postgres").stdout
    assert "no component" in cloudbox("logs", "nobody", expect=1).stderr
    lines = cloudbox("credentials").stdout.splitlines()
    told = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    url = f"{told['CLOUDBOX_URL']}/projects/{told['CLOUDBOX_PROJECT']}/instances"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {told['CLOUDBOX_TOKEN']}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["items"] == []


def test_the_store_speaks_tls(cloudbox: WholeBox) -> None:
    """By the box's own authority, by a pair that was given, and by the next one in its place, without a restart."""
    text = cloudbox("credentials", "--format", "aws").stdout
    url, authority = (re.search(pattern, text) for pattern in (r"_S3=(https://\S+)", r"CA_BUNDLE=(\S+)"))
    assert url
    assert authority
    ask = ["curl", "--silent", "--show-error", "--max-time", "20", "--output", "/dev/null", "--write-out", "%{http_code}", url[1]]

    def seen(trusted: str | Path) -> str:
        return subprocess.run([*ask, "--cacert", trusted], capture_output=True, text=True, check=False).stdout

    assert seen(authority[1]) == "200"
    home = cloudbox.box.home
    as_store = ["setpriv", "--reuid=cloudbox", "--regid=cloudbox", "--clear-groups"]
    assert subprocess.run([*as_store, "cat", home / "secrets" / "ca.key"], capture_output=True, check=False).returncode != 0

    given = home / "given"
    given.mkdir(mode=0o755)
    pair = ("--tls-certificate", str(given / "crt"), "--tls-key", str(given / "key"))

    def make() -> None:
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=given"]
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", given / "new.key", "-out", given / "new.crt"]
        subprocess.run([*openssl, *names], check=True, capture_output=True)
        (given / "new.key").chmod(0o600)

    assert "go together" in cloudbox("up", "--detach", *pair[:2], expect=1).stderr
    assert "There is no file" in cloudbox("up", "--detach", *pair, expect=1).stderr
    make()
    for name in ("crt", "key"):
        (given / f"new.{name}").rename(given / name)
    assert "cannot be read by the account cloudbox" in cloudbox("up", "--detach", *pair, expect=1).stderr
    (given / "key").chmod(0o644)
    cloudbox("up", "--detach", *pair)
    assert seen(given / "crt") == "200"
    assert "CA_BUNDLE" not in cloudbox("credentials", "--format", "aws").stdout
    pid, first = cloudbox.component("store")["pid"], (given / "crt").read_bytes()
    make()
    (given / "new.key").chmod(0o644)
    for name in ("crt", "key"):
        (given / f"new.{name}").rename(given / name)
    cloudbox.wait(lambda: seen(given / "crt") == "200")
    assert (given / "crt").read_bytes() != first
    assert cloudbox.component("store")["pid"] == pid
    cloudbox("up", "--detach", "--tls-certificate", "own")
    assert seen(authority[1]) == "200"


def test_down_leaves_nothing_and_up_brings_it_back(cloudbox: WholeBox) -> None:
    """After `down` no process, namespace, interface or firewall table of the box is left; `up` is quick then."""
    box = cloudbox.box
    cloudbox("down")
    assert not proc.with_words(f"{box.home}/")
    assert box.name not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert box.name not in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert box.name not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert not cloudbox.status()["healthy"]
    cloudbox("up", "--detach")
    assert cloudbox.status()["healthy"]
