"""A box's names and files: derived from its home, written in one move, readable by whom they should."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from cloudbox.box import cli, code, environments, packages, plan, postgres, programs, secret_files, status, steps, systemd
from cloudbox.box.paths import CHECKOUT, Box, read_stamp, write_stamp
from cloudbox.box.shell import Failed


def test_two_homes_are_two_names(tmp_path: Path) -> None:
    """Names derive from the real path: another home is another name, a link to the same home the same."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (tmp_path / "link").symlink_to(one)
    assert Box.at(one).name != Box.at(two).name
    assert Box.at(tmp_path / "link").name == Box.at(one).name
    assert len(Box.at(one).name) == 8


def test_box_json_is_merged_and_left_alone(tmp_path: Path) -> None:
    """A change keeps the other keys; the same again does not touch the file."""
    box = Box(tmp_path)
    box.write_config({"port": 8000, "bind": "0.0.0.0"})
    box.write_config({"port": 8001})
    before = box.config_file.stat().st_mtime_ns
    box.write_config({"port": 8001})
    assert box.config() == {"port": 8001, "bind": "0.0.0.0"}
    assert box.config_file.stat().st_mtime_ns == before


def test_secrets_are_made_once_and_closed(tmp_path: Path) -> None:
    """Made with fitting rights, never made anew; the web's user cannot read the password."""
    if os.geteuid():
        pytest.skip("owners are set by root")
    box = Box(tmp_path)
    secret_files.make(box, admin_email="a@b.example")
    first = {path.name: path.read_text() for path in box.secrets.iterdir()}
    secret_files.make(box, admin_email="other@b.example")
    assert {path.name: path.read_text() for path in box.secrets.iterdir()} == first
    assert stat.S_IMODE((box.secrets / "admin.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((box.secrets / "master.key").stat().st_mode) == 0o640
    assert len(secret_files.admin(box)["admin_password"]) >= 20


def test_the_copy_of_the_code_is_what_the_checkout_is_now(tmp_path: Path) -> None:
    """Tracked, changed and new files come along; ignored ones and .git do not; a change is another release, swapped in whole."""
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    (checkout / "node_modules").mkdir(parents=True)
    (home / "releases").mkdir(parents=True)
    for name, text in {"a.py": "1", ".gitignore": "*.log\n", "x.log": "no", "node_modules/big.js": "no"}.items():
        (checkout / name).write_text(text)
    git = ["git", "-C", str(checkout), "-c", "user.name=t", "-c", "user.email=t@t.example"]
    for words in (["init", "-q"], ["add", "a.py", ".gitignore"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    (checkout / "a.py").write_text("2")
    (checkout / "new.py").write_text("3")
    box = Box(home)
    first = code.copy(box, log=lambda line: None, checkout=checkout)
    assert sorted(path.name for path in box.app.iterdir()) == [".gitignore", "__pycache__", "a.py", "new.py"]
    assert (box.app / "a.py").read_text() == "2"
    assert code.current(box) == first
    (checkout / "a.py").write_text("4")
    assert code.copy(box, log=lambda line: None, checkout=checkout) != first
    assert (box.app / "a.py").read_text() == "4"
    assert len(list((home / "releases").iterdir())) <= code.RELEASES_KEPT


def test_a_broken_build_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its stamp a folder of the cache does not count, and the next build begins with nothing of it."""
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    folder = tmp_path / "venv-1"

    def breaks(made: Path) -> None:
        (made / "half").touch()
        raise Failed("no network")

    with pytest.raises(Failed):
        environments._build(folder, breaks, log=lambda line: None)
    assert not environments.is_complete(folder)
    environments._build(folder, lambda made: (made / "whole").touch(), log=lambda line: None)
    assert environments.is_complete(folder)
    assert not (folder / "half").exists()


@pytest.mark.parametrize("distro", packages.SUPPORTED)
def test_every_distribution_has_its_list(distro: tuple[str, str]) -> None:
    names = packages.wanted(distro)
    assert {"postgresql", "redis-server", "libvirt-daemon", "qemu-system-x86", "python3-venv"} <= set(names)
    assert len(names) == len(set(names))
    assert "" not in packages.wanted(distro, tests=True)


def test_distribution_is_read(tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text('PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n')
    assert packages.distribution(file) == ("ubuntu", "24.04")
    assert packages.distribution(tmp_path / "none") == ("unknown", "")


def test_postgres_settings_are_written_once(tmp_path: Path) -> None:
    """The second time nothing changes; the map lets exactly the box's accounts take the role."""
    if os.geteuid():
        pytest.skip("owners are set by root")
    folder = tmp_path / "pg"
    folder.mkdir()
    (folder / "postgresql.conf").write_text("# initdb's\n")
    box = Box(tmp_path)
    assert postgres.write_settings(box, folder)
    assert not postgres.write_settings(box, folder)
    assert (folder / "postgresql.conf").read_text().count("include 'cloudbox.conf'") == 1
    assert (folder / "pg_ident.conf").read_text().splitlines() == [
        "box cloudbox cloudbox",
        "box postgres cloudbox",
        "box root cloudbox",
        "box postgres postgres",
        "box root postgres",
    ]
    assert "listen_addresses = ''" in (folder / "cloudbox.conf").read_text()


def test_a_cluster_of_another_version_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "PG_VERSION").write_text("9\n")
    with pytest.raises(Failed, match="PostgreSQL 9, which is not installed"):
        postgres.binaries(Box(tmp_path))


def test_units_are_named_after_the_box(tmp_path: Path) -> None:
    """Every unit carries the box's name, guests outlive libvirtd, logs go to the box's folder."""
    box = Box(tmp_path)
    texts = systemd.texts(box)
    assert all(name.startswith(box.name) for name in texts)
    assert {f"{box.name}-{name}.service" for name in programs.NAMES} <= set(texts)
    libvirt, web, database = (texts[f"{box.name}-{name}.service"] for name in ("libvirtd", "web", "postgres"))
    assert "KillMode=process" in libvirt
    assert "KillMode=mixed" in web
    assert "KillSignal=SIGINT" in database
    assert f"{box.name}-postgres.service" in web.split("After=")[1].splitlines()[0]
    assert f"StandardOutput=append:{box.logs}/web.log" in web
    assert f"WantedBy={box.name}.target" in web


def test_the_table_of_up_holds_together(tmp_path: Path) -> None:
    """Every step needs only what stands above it, and the build stamp changes with the port."""
    box = Box(tmp_path)
    table = plan.Plan(box, plan.Options())
    steps._check(table.steps())
    before = table.build
    box.write_config({"port": 8123})
    assert table.build != before
    table.stamp("migrate")
    assert table.stamped("migrate")
    write_stamp(box, "migrate", "other")
    assert read_stamp(box, "migrate") == "other"
    assert not table.stamped("migrate")


def test_status_of_a_box_that_is_down(tmp_path: Path) -> None:
    """Nothing runs: every component says so, in data and as a table, and the exit status is 1."""
    box = Box(tmp_path)
    box.run.mkdir()
    box.write_config({"port": 1, "bind": "127.0.0.1"})
    seen = status.look(box)
    assert not seen["healthy"]
    assert [each["state"] for each in seen["components"]] == ["stopped"] * len(programs.NAMES)
    assert "worker" in status.table(json.loads(json.dumps(seen)))
    assert cli.main(["status", "--home", str(tmp_path)]) == 1


@pytest.mark.parametrize("words", [["up", "--port", "0"], ["up", "--port", "x"], ["status", "--colour"], ["fly"], []])
def test_nonsense_gets_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", ["up", "down", "status", "logs", "doctor", "credentials", "user", "project", "reset", "bench", "test", "pin"]
)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    assert caught.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_verbs_without_a_box_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("status", "logs", "credentials", "user", "down"):
        assert cli.main([verb, "--home", str(tmp_path / "none")]) == 1
        assert "there is no box in" in capsys.readouterr().err


def test_the_launcher_works_through_a_link(tmp_path: Path) -> None:
    """A link to bin/cloudbox in some folder of PATH finds the checkout."""
    link = tmp_path / "cloudbox"
    link.symlink_to(CHECKOUT / "bin" / "cloudbox")
    done = subprocess.run([link, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert "doctor" in done.stdout
