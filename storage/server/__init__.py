"""The HTTP front of the data plane: HTTP/1.1 on uvloop. It knows no dialect, no Django and no object.

messages.py      what an application gets and gives: Request, Response, App
heads.py         bytes -> head, strictly                 chunks.py      the chunked transfer coding
bodies.py        the reader an application holds         direct.py      receiving and sendfile in threads, past the event loop
protocol.py      one connection: its requests, states, deadlines, and how it ends
wire.py          one connection: its bytes, back-pressure, and who has the socket
answers.py       head of an answer -> bytes              limits.py      every limit, with its reason
metrics.py       counters that all workers share         access_log.py  a JSON line per request
admin.py         /metrics and /healthz, for operators    tls.py         contexts; a certificate made here
worker.py        one process: listeners, sweep, drain
workers.py       N of them, started again when they fall, replaced without a dropped connection

What a request costs beside nginx is measured by `python -m tests.server.bench`.
"""

from storage.server.errors import BodyMalformed, BodyTooLarge, BodyTooSlow, BodyTruncated
from storage.server.messages import App, Body, FileRange, Request, Response, in_task

__all__ = [
    "App",
    "Body",
    "BodyMalformed",
    "BodyTooLarge",
    "BodyTooSlow",
    "BodyTruncated",
    "FileRange",
    "Request",
    "Response",
    "in_task",
]
