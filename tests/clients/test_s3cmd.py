"""s3cmd, with both versions of signatures: multipart, sync both ways, access lists, signed addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.clients.conftest import BY_TLS, Store, grow, program, seen

pytestmark = pytest.mark.slow


def settings(store: Store, *, version_2: bool = False) -> Path:
    lines = {
        "access_key": store.me.key,
        "secret_key": store.me.secret,
        "host_base": store.url.partition("://")[2],
        "host_bucket": store.url.partition("://")[2],  # without %(bucket)s: by path
        "use_https": store.secure,
        "ca_certs_file": store.authority or "",
        "signature_v2": version_2,
        "multipart_chunk_size_mb": 5,
        "progress_meter": False,
    }
    file = store.folder / "s3cfg"
    file.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
    return file


def story(store: Store, *, version_2: bool) -> None:
    command, config = program("s3cmd", "s3cmd"), settings(store, version_2=version_2)

    def s3cmd(*words: str | Path, expect: int = 0) -> str:
        return store.run(command, "--config", config, *words, expect=expect)

    there, back = store.folder / "there", store.folder / "back"
    tree = grow(there)
    back.mkdir()
    s3cmd("mb", "s3://s3cmd-bucket")
    s3cmd("sync", f"{there}/", "s3://s3cmd-bucket/tree/")
    assert store.digests("s3cmd-bucket", "tree/") == tree
    assert "-5" in store.client().head_object(Bucket="s3cmd-bucket", Key="tree/parts.bin")["ETag"]
    assert "upload:" not in s3cmd("sync", f"{there}/", "s3://s3cmd-bucket/tree/")
    s3cmd("sync", "s3://s3cmd-bucket/tree/", f"{back}/")
    assert seen(back) == tree
    (there / "one").unlink()
    (there / "empty").write_bytes(b"no more")
    s3cmd("sync", "--delete-removed", f"{there}/", "s3://s3cmd-bucket/tree/")
    assert store.digests("s3cmd-bucket", "tree/") == seen(there)

    name = "ünï/cödé/日本語/🐈.txt"
    info = s3cmd("info", f"s3://s3cmd-bucket/tree/{name}")
    assert "File size: 200" in info
    s3cmd("cp", f"s3://s3cmd-bucket/tree/{name}", "s3://s3cmd-bucket/copy")
    s3cmd("mv", "s3://s3cmd-bucket/copy", "s3://s3cmd-bucket/moved")
    s3cmd("get", "s3://s3cmd-bucket/moved", store.folder / "moved")
    assert (store.folder / "moved").read_bytes() == (there / name).read_bytes()
    s3cmd("get", "s3://s3cmd-bucket/copy", store.folder / "copy", expect=64)  # "not found"
    if not store.secure:
        with urlopen(s3cmd("signurl", "s3://s3cmd-bucket/moved", "+60").strip()) as answer:
            assert answer.read() == (there / name).read_bytes()
        s3cmd("setacl", "--acl-public", "s3://s3cmd-bucket/moved")
        with urlopen(f"{store.url}/s3cmd-bucket/moved") as answer:
            assert answer.read() == (there / name).read_bytes()
    assert "anon" in s3cmd("info", "s3://s3cmd-bucket/moved") or store.secure
    assert s3cmd("du", "s3://s3cmd-bucket/moved").split()[0] == "200"
    s3cmd("del", "--recursive", "--force", "s3://s3cmd-bucket")
    s3cmd("rb", "s3://s3cmd-bucket")
    assert s3cmd("ls") == ""


def test_s3cmd(store: Store) -> None:
    story(store, version_2=False)


@BY_TLS
def test_s3cmd_by_tls(store: Store) -> None:
    story(store, version_2=False)


def test_s3cmd_with_signatures_of_version_2(store: Store) -> None:
    story(store, version_2=True)
