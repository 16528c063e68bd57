"""The demo's MQTT broker: iotcore, which pip installs, or Mosquitto where it is on PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pue.contract.errors import Fatal

CHOICES = ("auto", "iotcore", "mosquitto")
MAX_PAYLOAD = 1 << 20
HEADER_BYTES = 1024

_IOTCORE = """\
id = 0

[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 4

[v5.1]
name = "loopback"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {max_payload}
max_inflight_count = 200
dynamic_filters = true
"""

_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_packet_size {max_packet}
"""


def broker_command(choice: str, folder: Path, port: int) -> tuple[str, ...]:
    """Write the broker's configuration and return how to start it.

    Raises
    ------
    Fatal
        If the choice is unknown, or Mosquitto is wanted and not there.
    """
    if choice not in CHOICES:
        raise Fatal(f"broker {choice!r} is unknown; use one of {', '.join(CHOICES)}")
    mosquitto = shutil.which("mosquitto", path=_search_path())
    if choice == "mosquitto" and mosquitto is None:
        raise Fatal("mosquitto is not on PATH; install it or use --broker iotcore")
    if mosquitto and choice != "iotcore":
        path = folder / "mosquitto.conf"
        path.write_text(_MOSQUITTO.format(port=port, max_packet=MAX_PAYLOAD + HEADER_BYTES), encoding="ascii")
        return mosquitto, "-c", str(path)
    path = folder / "iotcore.toml"
    path.write_text(_IOTCORE.format(port=port, max_payload=MAX_PAYLOAD), encoding="ascii")
    return sys.executable, "-m", "iotcore", "--config", str(path), "--log-level", "CRITICAL"


def _search_path() -> str:
    """PATH, and where Debian keeps daemons, which is often missing for ordinary users."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
