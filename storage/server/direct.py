"""Moving large bodies past the event loop: blocking calls in a thread, on the connection's own socket.

While a thread has the socket, the event loop must neither read nor write it: the connection pauses reading and makes sure that
nothing waits to be written. The socket is blocking for that time, so that one system call moves megabytes; the kernel's own time-out
bounds how long a client that pauses can keep the thread, and the caller then waits for that client in the event loop, at no cost.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

SLICE_SECONDS = 0.25  # how long a thread waits for one client
TURN_BYTES = 64 << 20  # what one turn of a thread sends at most, so that others get theirs
_SLICE = struct.pack("ll", 0, int(SLICE_SECONDS * 1e6))
_FOREVER = struct.pack("ll", 0, 0)


def _take(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _SLICE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SLICE)
    os.set_blocking(sock.fileno(), True)


def _give_back(sock: socket.socket) -> None:
    os.set_blocking(sock.fileno(), False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _FOREVER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _FOREVER)


def receive(sock: socket.socket, view: memoryview) -> tuple[int, bool]:
    """Fill the buffer as far as the client sends. Returns the bytes received, and whether the client has closed its side."""
    _take(sock)
    try:
        done = 0
        while done < len(view):
            try:
                count = sock.recv_into(view[done:], 0, socket.MSG_WAITALL)
            except BlockingIOError:
                return done, False
            if count == 0:
                return done, True
            done += count
            if done < len(view):  # The time was up in the middle; who was slow waits in the event loop.
                return done, False
        return done, False
    finally:
        _give_back(sock)


def send_bytes(sock: socket.socket, data: bytes, more: bool) -> int:
    """Send what the client takes; returns the number of bytes."""
    _take(sock)
    try:
        return sock.send(data, socket.MSG_MORE if more else 0)
    except BlockingIOError:
        return 0
    finally:
        _give_back(sock)


def send_file(sock: socket.socket, file: int, offset: int, count: int) -> int:
    """Send a stretch of a file as far as the client takes it. Returns the bytes sent; raises EOFError if the file is shorter."""
    _take(sock)
    try:
        done, turn = 0, min(count, TURN_BYTES)
        while done < turn:
            try:
                sent = os.sendfile(sock.fileno(), file, offset + done, turn - done)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                    return done
                raise
            if sent == 0:
                raise EOFError("the file is shorter than it was said to be")
            done += sent
        return done
    finally:
        _give_back(sock)
