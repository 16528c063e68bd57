"""The metrics port, and what a taken one says."""

from __future__ import annotations

import socket

import pytest

from collector.health import Health
from pue.contract.errors import Fatal


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=rf"\[health\] port {port} on 127.0.0.1 .*in use.*choose a free one"):
            Health().serve(port)
