"""The metadata service's answers on standard input and output, for one connection: QEMU's user network runs this for a guest."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[2]))

from compute.metadata_tree import InstanceMetadata, find

ID = UUID("0c10d0b0-1111-4222-8333-944455566677")


def main(key: Path, user_data: Path) -> None:
    request = sys.stdin.buffer.readline().split()
    while sys.stdin.buffer.readline().strip():
        pass
    instance = InstanceMetadata(
        id=ID,
        name="Demo 1",
        hostname="demo-1",
        dns_domain="tenant.internal",
        project_id="p",
        ip="169.254.169.15",
        mac="52:54:00:00:00:01",
        public_keys=(("mine", key.read_text()),),
        user_data=user_data.read_bytes(),
    )
    answer = find(instance, request[1].decode())
    status, body = (b"200 OK", answer.body) if answer is not None else (b"404 Not Found", b"404 Not Found\n")
    sys.stdout.buffer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
