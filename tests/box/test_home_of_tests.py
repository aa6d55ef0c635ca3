"""The home every test run gets: real services, nothing of the host's."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from cloudbox.box import postgres, redis
from cloudbox.box.paths import Box


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
