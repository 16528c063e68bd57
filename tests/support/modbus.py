"""A Modbus TCP meter in its own words: it knows register numbers, not profiles."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Words = Callable[[int, int, int], bytes | None]
"""Unit, first register and number of registers -> their bytes, or None if the meter has them not."""

READ_CODES = (3, 4)
ILLEGAL_ADDRESS = 2


class _Handler(socketserver.BaseRequestHandler):
    words: Words

    def handle(self) -> None:
        while head := self._exactly(8):
            transaction, _, length, unit, code = struct.unpack(">HHHBB", head)
            body = self._exactly(length - 2)
            first, number = struct.unpack(">HH", body[:4])
            data = self.words(unit, first, number) if code in READ_CODES else None
            answer = bytes([code, len(data)]) + data if data is not None else bytes([code | 0x80, ILLEGAL_ADDRESS])
            self.request.sendall(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                part = self.request.recv(size - len(data))
            except OSError:
                return b""
            if not part:
                return b""
            data += part
        return data


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def modbus_server(words: Words) -> Iterator[int]:
    """Port of a running server."""
    handler = type("Handler", (_Handler,), {"words": staticmethod(words)})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()


class CountingMeter:
    """A PM5000-like meter whose energy register rises by one at every read, so that every reading is its own.

    Energy: 64-bit integer at registers 3204..3207 (3203 on the wire), in Wh.
    """

    def __init__(self) -> None:
        self.served: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, unit: int, first: int, number: int) -> bytes | None:
        if (first, number) != (3203, 4):
            return None
        with self._lock:
            count = 1_000_000 + len(self.served)
            self.served.append(count)
        return struct.pack(">q", count)
