"""Where the catalogue says that the object store is: an address that answers, whichever way the client came."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from identity.api.keystone import links


@pytest.mark.parametrize(
    ("secure", "tls_port", "public", "expected"),
    [
        (False, None, "", "http://box.example:9000"),
        (False, 9443, "", "http://box.example:9000"),
        (True, 9443, "", "https://box.example:9443"),
        (True, None, "", "http://box.example:9000"),  # Its port speaks plain HTTP, whatever the portal's speaks.
        (True, 9443, "https://objects.example/", "https://objects.example"),
    ],
)
def test_address_of_the_store(settings: Any, secure: bool, tls_port: int | None, public: str, expected: str) -> None:
    settings.BOX = {}
    settings.STORE_PORT, settings.STORE_TLS_PORT, settings.STORE_PUBLIC_URL = 9000, tls_port, public
    request = RequestFactory().get("/", headers={"host": "box.example"}, secure=secure)
    assert links.store(request) == expected
