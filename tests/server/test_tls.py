"""TLS of the front: who is trusted, what happens when a certificate changes under connections, and who may dawdle."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from cloudbox.common.errors import Invalid
from storage.server import tls
from tests.server.apps import BIG, Everything, Stretch
from tests.server.running import Client, Running, eventually, running

SHA = hashlib.sha256(BIG).hexdigest()
NAMES = ["localhost", "127.0.0.1"]


@pytest.fixture
def authority(tmp_path: Path) -> tls.Pair:
    pair = tls.Pair(tmp_path / "ca.crt", tmp_path / "ca.key")
    assert tls.make_authority(pair, "Test authority")
    return pair


@pytest.fixture
def pair(tmp_path: Path, authority: tls.Pair) -> tls.Pair:
    made = tls.Pair(tmp_path / "store.crt", tmp_path / "store.key")
    assert tls.issue(made, NAMES, authority=authority)
    return made


@pytest.fixture
def trusting(authority: tls.Pair) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
    return context


@pytest.fixture
def app() -> Everything:
    return Everything()


@contextlib.contextmanager
def following(app: Everything, pair: tls.Pair, **limits: float) -> Iterator[tuple[Running, tls.Following]]:
    shown = tls.Following(pair)
    with running(app, tls=shown.context, **limits) as server:
        yield server, shown


def serial(client: Client) -> int:
    assert isinstance(client.sock, ssl.SSLSocket)
    der = client.sock.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def test_requests_of_every_kind(app: Everything, pair: tls.Pair, trusting: ssl.SSLContext) -> None:
    with following(app, pair) as (server, _):
        with server.client(tls=trusting) as client:
            assert client.ask("/into", method="PUT", body=BIG).text == SHA
            assert client.ask("/files").body == BIG
            assert client.ask("/bytes").body == BIG
            assert "True" in client.ask("/who").text
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.version() == "TLSv1.3"
        with server.client() as plain:
            plain.send(b"GET / HTTP/1.1\r\n\r\n")
            assert plain.is_closed()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            server.client(tls=old)
    assert Stretch.open == 0


def test_only_the_authority_is_trusted(app: Everything, pair: tls.Pair, trusting: ssl.SSLContext) -> None:
    with following(app, pair) as (server, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            server.client(tls=ssl.create_default_context())
        with socket.create_connection(("127.0.0.1", server.port)) as sock, pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            trusting.wrap_socket(sock, server_hostname="another.example")
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            trusting.wrap_socket(sock, server_hostname="127.0.0.1").close()


def test_a_new_certificate_needs_no_restart(
    app: Everything, pair: tls.Pair, authority: tls.Pair, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections go on with the old one, new ones see the new one; a pair that is none changes nothing and is told once."""
    with following(app, pair) as (server, shown), server.client(tls=trusting) as first:
        before = serial(first)
        assert first.ask("/hello").status == 200
        assert tls.issue(pair, [*NAMES, "new.example"], authority=authority)
        shown.look()
        with server.client(tls=trusting) as second:
            after = serial(second)
            assert after != before
            assert second.ask("/bytes").body == BIG
            assert first.ask("/bytes").body == BIG
            pair.key.write_bytes(authority.key.read_bytes())
            shown.look()
            shown.look()
            told = [record.getMessage() for record in caplog.records if "goes on" in record.getMessage()]
            assert len(told) == 1
            assert "cannot be used together" in told[0]
            with server.client(tls=trusting) as third:
                assert serial(third) == after
        pair.certificate.unlink()
        shown.look()
        with server.client(tls=trusting) as fourth:
            assert serial(fourth) == after


def test_without_a_certificate_clients_are_turned_away_until_there_is_one(
    app: Everything, tmp_path: Path, authority: tls.Pair, trusting: ssl.SSLContext
) -> None:
    pair = tls.Pair(tmp_path / "late.crt", tmp_path / "late.key")
    with following(app, pair) as (server, shown):
        with pytest.raises(ssl.SSLError):
            server.client(tls=trusting)
        tls.issue(pair, NAMES, authority=authority)
        shown.look()
        with server.client(tls=trusting) as client:
            assert client.ask("/hello").status == 200


@pytest.mark.parametrize("sent", [0, 1, 5, 40])
def test_who_dawdles_in_the_handshake_is_cut_off(app: Everything, pair: tls.Pair, trusting: ssl.SSLContext, sent: int) -> None:
    """Nothing, or a part of the first message: the connection ends by itself, and nobody else has waited."""
    ours = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = trusting.wrap_bio(*ours, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    with following(app, pair, handshake_seconds=0.4) as (server, _):
        slow = [server.client() for _ in range(20)]
        for client in slow:
            client.send(ours[1].read(sent) if sent else b"")
        with server.client(tls=trusting) as quick:
            assert quick.ask("/hello").status == 200
        assert all(client.is_closed() for client in slow)
        eventually(lambda: server.connections() == 0)


def test_a_client_that_never_says_goodbye_is_let_go(app: Everything, pair: tls.Pair, trusting: ssl.SSLContext) -> None:
    """The server's end of an idle connection waits for the client's only so long."""
    with following(app, pair, idle_seconds=0.2, linger_seconds=0.3) as (server, _):
        client = server.client(tls=trusting)
        assert client.ask("/hello").status == 200
        eventually(lambda: server.connections() == 0)
        client.close()


def test_it_is_kept_while_it_fits(pair: tls.Pair, authority: tls.Pair, tmp_path: Path) -> None:
    before = pair.certificate.read_bytes()
    assert not tls.issue(pair, ["localhost"], authority=authority)
    assert not tls.make_authority(authority, "Another")
    assert pair.certificate.read_bytes() == before
    assert pair.key.stat().st_mode & 0o077 == 0
    pair.key.chmod(0o640)
    assert tls.issue(pair, [*NAMES, "*.another.example", "::1"], authority=authority)
    assert pair.certificate.read_bytes() != before
    assert pair.key.stat().st_mode & 0o777 == 0o640  # Whoever could read the key reads the next one.
    other = tls.Pair(tmp_path / "other.crt", tmp_path / "other.key")
    tls.make_authority(other, "Test authority")
    assert tls.issue(pair, NAMES, authority=other)


def test_it_is_made_anew_before_it_ends(pair: tls.Pair, authority: tls.Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "DAYS", tls.DAYS_LEFT_MIN)
    assert tls.issue(pair, [*NAMES, "more"], authority=authority)
    assert tls.issue(pair, NAMES, authority=authority)
    monkeypatch.undo()
    assert tls.issue(pair, NAMES, authority=authority)
    assert not tls.issue(pair, NAMES, authority=authority)


def test_what_cannot_be_used_says_why(pair: tls.Pair, authority: tls.Pair, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    with pytest.raises(Invalid, match=f"no file {nothing}"):
        tls.context(tls.Pair(pair.certificate, nothing))
    with pytest.raises(Invalid, match="cannot be used together"):
        tls.context(tls.Pair(pair.certificate, authority.key))
    nothing.write_text("no PEM")
    with pytest.raises(Invalid, match="cannot be used together"):
        tls.context(tls.Pair(nothing, nothing))
    sealed = tmp_path / "sealed.key"
    subprocess.run(["openssl", "pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", sealed], check=True)
    with pytest.raises(Invalid, match="passphrase"):
        tls.context(tls.Pair(pair.certificate, sealed))


def test_many_at_once_while_it_changes(app: Everything, pair: tls.Pair, authority: tls.Pair, trusting: ssl.SSLContext) -> None:
    """Clients that come and go while the certificate is replaced again and again: every request is answered."""
    answered: list[int] = []
    with following(app, pair) as (server, shown):

        def ask() -> None:
            for _ in range(10):
                with server.client(tls=trusting) as client:
                    answered.append(client.ask("/hello").status)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(10):
            tls.issue(pair, [*NAMES, f"{turn}.example"], authority=authority)
            server.call(shown.look)
        for thread in threads:
            thread.join()
    assert answered == [200] * 40
