"""What a request costs the front's processor, beside nginx serving the same bytes: `python -m tests.server.bench [--seconds 3]`.

Both are run by turns in one go, one worker each, 32 connections that are kept, and only ratios within the run are worth anything: on
a busy machine times are not. Cost is processor time of the server (/proc/…/schedstat, in nanoseconds) over requests answered.
Needs nginx and wrk (Debian packages of these names). The lines:

    bare          a body from memory, no access log
    logged        the same with the access log; nginx is given none in any line
    signed        with the verification of a SigV4 header, whose bytes wrk repeats
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from identity.authn import sigv4
from identity.authn.signatures import SignedRequest
from storage.server import App, Request, Response
from storage.server.access_log import AccessLog
from storage.server.worker import Listener, run

SIZE = 4096
HEADERS = {"Content-Type": "application/octet-stream", "ETag": '"0123456789abcdef0123456789abcdef"', "Accept-Ranges": "bytes"}
NGINX = """
daemon off; master_process off; worker_processes 1; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; keepalive_requests 1000000000;
    client_body_temp_path %(folder)s/t1; proxy_temp_path %(folder)s/t2; fastcgi_temp_path %(folder)s/t3; uwsgi_temp_path %(folder)s/t4;
    scgi_temp_path %(folder)s/t5;
    server { listen 127.0.0.1:%(port)d; root %(folder)s; }
}
"""


def serve(kind: str, port: int, folder: Path) -> None:
    body = os.urandom(SIZE)

    async def bare(request: Request) -> Response:
        return Response(200, HEADERS, body)

    async def signed(request: Request) -> Response:
        seen = SignedRequest(request.method, request.path, request.query, request.headers)
        claims = sigv4.read(seen, now=time.time())
        assert claims is not None
        sigv4.verify(claims, seen, "secret")
        return Response(200, HEADERS, body)

    async def opening() -> tuple[list[Listener], object]:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(1024)
        app: App = signed if kind == "signed" else bare

        async def close() -> None:
            sock.close()

        return [Listener(sock, app)], close

    run(opening, access_log=AccessLog(folder / "access.log") if kind == "logged" else None)  # type: ignore[arg-type]


def cpu_ns(pid: int) -> int:
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


@contextlib.contextmanager
def started(argv: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def measure(pid: int, url: str, seconds: int, headers: list[str]) -> tuple[float, float]:
    """(microseconds of processor per request, requests a second)"""
    before = cpu_ns(pid)
    argv = ["wrk", "-t1", "-c32", f"-d{seconds}s", *(word for header in headers for word in ("-H", header)), url]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    spent = cpu_ns(pid) - before
    assert "Non-2xx" not in said, said
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert requests is not None
    assert rate is not None
    return spent / int(requests[1]) / 1000, float(rate[1])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="of each sample")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "PORT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], int(arguments.serve[1]), Path(arguments.serve[2]))
        return
    for program in ("nginx", "wrk"):
        if not shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
            sys.exit(f"This needs {program}: apt-get install {program}")
    kinds = ("bare", "logged", "signed")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "object").write_bytes(os.urandom(SIZE))
        ports = {kind: free_port() for kind in ("nginx", *kinds)}
        (folder / "nginx.conf").write_text(NGINX % {"folder": folder, "port": ports["nginx"]})
        pids = {"nginx": stack.enter_context(started(["/usr/sbin/nginx", "-c", str(folder / "nginx.conf")], ports["nginx"]))}
        for kind in kinds:
            argv = [sys.executable, "-m", "tests.server.bench", "--serve", kind, str(ports[kind]), name]
            pids[kind] = stack.enter_context(started(argv, ports[kind]))
        samples: dict[str, list[tuple[float, float]]] = {kind: [] for kind in pids}
        for _ in range(arguments.rounds):
            for kind, pid in pids.items():
                url = f"http://127.0.0.1:{ports[kind]}/object"
                request = AWSRequest(method="GET", url=url)
                S3SigV4Auth(Credentials("CBXKEY", "secret"), "s3", "here-1").add_auth(request)
                headers = [f"{key}: {value}" for key, value in request.headers.items()]
                samples[kind].append(measure(pid, url, arguments.seconds, headers))
        limit = [cost for cost, _ in samples["nginx"]]
        print(f"GET {SIZE} bytes, 32 connections, 1 worker each, {arguments.rounds} rounds by turns; processor per request")
        for kind, pairs in samples.items():
            ratios = [cost / least for (cost, _), least in zip(pairs, limit, strict=True)]
            cost, rate = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(
                f"  {kind:8} {cost:6.1f} us  {statistics.median(ratios):5.2f} x nginx ({min(ratios):.2f}-{max(ratios):.2f})  {rate:8.0f}/s"
            )


if __name__ == "__main__":
    main()
