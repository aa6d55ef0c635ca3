"""The home every test run gets: real services, nothing of the host's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from cloudbox.box import postgres, proc, redis, test_home
from cloudbox.box.paths import CHECKOUT, Box

RUN = """
from cloudbox.box import test_home
with test_home.running() as box:
    print(box.home, flush=True)
    input()
"""


def test_services_answer_on_sockets_of_the_home(box_home: Path) -> None:
    """PostgreSQL answers a query and Redis a PING, both below the home."""
    box = Box(box_home)
    assert postgres.answers(box)
    assert redis.answers(box)


@pytest.mark.django_db
def test_django_uses_that_database(box_home: Path) -> None:
    """Django's connection goes to the home's own PostgreSQL, as the role cloudbox."""
    with connection.cursor() as cursor:
        cursor.execute("select current_user, inet_server_addr()")
        assert cursor.fetchone() == ("cloudbox", None)
    assert connection.settings_dict["HOST"] == str(box_home / "run" / "postgres")


def test_a_killed_run_is_cleaned_up_by_the_next() -> None:
    """kill -9 of a run leaves its services; who makes the next home ends them and removes the folder, and spares the living."""
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    try:
        killed, living = (Path(run.stdout.readline().strip()) for run in runs if run.stdout)
        runs[0].send_signal(signal.SIGKILL)
        runs[0].wait()
        assert postgres.answers(Box(killed))
        test_home.remove_orphans(killed.parent)
        assert not killed.exists()
        assert not proc.with_words(f"{killed}/")
        assert postgres.answers(Box(living))
    finally:
        for run in runs:
            run.communicate("\n" if run.poll() is None else None)
    assert not living.exists()
