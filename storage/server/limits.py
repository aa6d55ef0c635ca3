"""Every limit of the front, in one place. Each has a reason to be no larger; a test goes over each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    head_max_bytes: int = 64 << 10  # request line and headers; S3 allows 2 KiB of metadata, policies in headers are larger
    target_max_bytes: int = 16 << 10  # a name of 1,024 bytes is 3,072 when encoded; presigned queries carry session tokens
    headers_max: int = 200
    body_max_bytes: int = 5 << 40  # the largest object there is; an application has smaller limits of its own
    body_buffer_bytes: int = 512 << 10  # of a body that nobody reads yet; then the client has to wait
    pipeline_max_bytes: int = 128 << 10  # what is read ahead of requests behind the one being answered
    write_buffer_bytes: int = 1 << 20  # of an answer that the client does not take; then the application has to wait
    discard_max_bytes: int = 256 << 10  # of a body that nobody wants: more, and the connection is closed instead
    connections_max: int = 10_000  # per worker
    idle_seconds: float = 75.0  # between requests; longer than the usual client's pool keeps a connection
    head_seconds: float = 20.0  # from the first byte of a head to its last
    handshake_seconds: float = 10.0  # TLS, before the first head
    progress_seconds: float = 20.0  # the window in which a body, in either direction, has to make progress of
    progress_min_bytes: int = 20 << 10  # this much
    linger_seconds: float = 3.0  # a connection that is closed against the client's will is read for so long, or the answer would be lost
    stop_seconds: float = 30.0  # requests under way have this long to end when the worker stops
    direct_min_bytes: int = 256 << 10  # from here on a thread is worth its cost


DEFAULT = Limits()
