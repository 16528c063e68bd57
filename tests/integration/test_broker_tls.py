"""The broker as deploy/ configures it: certificates only, and each agent in its own branch of topics."""

from __future__ import annotations

import getpass
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from collector.read import open_reader
from collector.settings import load
from pue.contract.errors import Retry
from pue.contract.series import SeriesKey
from pue.contract.signing import Signer
from tests.support.certificates import Authority
from tests.support.modbus import CountingMeter, modbus_server
from tests.support.plants import FakeAgent, collector_toml, topology_of, write_topology
from tests.support.servers import free_port, listens, need, running, wait_until

pytestmark = pytest.mark.integration

DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto"
BIN = Path(sys.executable).parent


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def deployed_broker(folder: Path, authority: Authority) -> Iterator[int]:
    """Mosquitto under deploy/mosquitto/mosquitto.conf; only paths, port and address are the test's."""
    authority.issue("server", is_server=True)
    (folder / "acl").write_bytes((DEPLOYED / "acl").read_bytes())
    port = free_port()
    text = (DEPLOYED / "mosquitto.conf").read_text(encoding="ascii")
    text = text.replace("/mosquitto/config", str(folder)).replace("listener 8883", f"listener {port} 127.0.0.1")
    text += f"user {getpass.getuser()}\n"  # else, started by root, it may not read the test's folder
    config = folder / "mosquitto.conf"
    config.write_text(text, encoding="ascii")
    with running([need("mosquitto"), "-c", config], folder / "mosquitto.log"):
        wait_until(lambda: listens(port), "mosquitto listens")
        yield port


class Caller:
    """A client with a certificate, and what the broker answers it."""

    def __init__(self, folder: Path, name: str | None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.answers: list[str] = []
        self.lost = False
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.maximum_version = version
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if name:
            context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )  # fmt: skip
        self.client.tls_set_context(context)
        self.client.suppress_exceptions = True
        self.client.on_publish = self._published
        self.client.on_disconnect = self._gone

    def _published(self, _client: Client, _data: object, _mid: int, code: ReasonCode, _more: object) -> None:
        self.answers.append(str(code))

    def _gone(self, *_: object) -> None:
        self.lost = True

    def publish(self, port: int, topic: str) -> str:
        """The broker's answer to one message, or `refused`."""
        try:
            self.client.connect("127.0.0.1", port)
        except OSError:
            return "refused"
        self.client.loop_start()
        self.client.publish(topic, b"x", qos=1)
        wait_until(lambda: self.answers or self.lost, "an answer")
        self.client.disconnect()
        self.client.loop_stop()
        return self.answers[0] if self.answers else "refused"


def test_an_agent_may_write_its_own_branch_and_no_other(tmp_path: Path, authority: Authority) -> None:
    authority.issue("km01-a1")
    with deployed_broker(tmp_path, authority) as port:
        for leaf, answer in {
            "pue/v1/s0/km01-a1/data": "No matching subscribers",
            "pue/v1/s0/yx01-a1/data": "Not authorized",
            "pue/v1/s0/km01-a1/ack": "Not authorized",
            "pue/v1/s0/_/state": "Not authorized",
        }.items():
            assert Caller(tmp_path, "km01-a1").publish(port, leaf) == answer


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho drops a refused socket unclosed
def test_without_a_good_certificate_nobody_gets_in(tmp_path: Path, authority: Authority) -> None:
    authority.issue("km01-a1")
    authority.issue("yx01-a1", is_revoked=True)
    with deployed_broker(tmp_path, authority) as port:
        topic = "pue/v1/s0/km01-a1/data"
        assert Caller(tmp_path, None).publish(port, topic) == "refused"
        assert Caller(tmp_path, "yx01-a1").publish(port, topic) == "refused"
        assert Caller(tmp_path, "km01-a1", version=ssl.TLSVersion.TLSv1_2).publish(port, topic) == "refused"


AGENT_TOML = """
[agent]
id = "km01-a1"
site = "km01"
shard = "s0"
state_dir = "{folder}/agent"
key_file = "{folder}/agent.key"
poll_seconds = 0.5
[mqtt]
host = "127.0.0.1"
port = {broker_port}
[mqtt.tls]
ca_file = "{folder}/ca.pem"
cert_file = "{folder}/km01-a1.pem"
cert_key_file = "{folder}/km01-a1.key"
[[link]]
id = "bus1"
transport = "modbus-tcp"
host = "127.0.0.1"
port = {meter_port}
[[meter]]
id = "main-a"
link = "bus1"
unit_id = 1
profile = "schneider-pm5xxx"
serial = "SN1"
quantities = ["energy_import"]
"""

COLLECTOR_TLS = """[mqtt.tls]
ca_file = "{folder}/ca.pem"
cert_file = "{folder}/pue-collector.pem"
cert_key_file = "{folder}/pue-collector.key"
"""


def test_readings_reach_the_store_through_the_deployed_broker(tmp_path: Path, authority: Authority) -> None:
    signer = Signer.generate()
    key_file = tmp_path / "agent.key"
    key_file.write_text(signer.to_text(), encoding="ascii")
    key_file.chmod(0o600)
    for name in ("km01-a1", "pue-collector"):
        authority.issue(name)
    write_topology(tmp_path / "topology.signed", topology_of([FakeAgent(signer=signer)]))
    with deployed_broker(tmp_path, authority) as broker_port, modbus_server(CountingMeter()) as meter_port:
        config = collector_toml(tmp_path, port=broker_port, extra=COLLECTOR_TLS.format(folder=tmp_path))
        agent_toml = tmp_path / "agent.toml"
        agent_toml.write_text(
            AGENT_TOML.format(folder=tmp_path, broker_port=broker_port, meter_port=meter_port), encoding="utf-8"
        )
        settings = load(config)
        reader = open_reader(settings.series, settings.collector.state_dir)

        def stored() -> int:
            try:
                return len(reader.readings(SeriesKey("km01", "main-a", "energy_import"), 0, 1 << 62).t1_ms)
            except Retry:
                return 0

        with (
            running([BIN / "pue-collector", "run", "--config", config], tmp_path / "collector.log") as collector,
            running([BIN / "pue-agent", "run", "--config", agent_toml], tmp_path / "agent.log") as agent,
        ):
            wait_until(lambda: stored() >= 3, "three readings stored", 30)
            wait_until(lambda: "collector yn-c1 is online" in agent.log.read_text(), "the agent knows that it is there")
            collector.kill()
            wait_until(lambda: "collector yn-c1 is offline" in agent.log.read_text(), "the broker says that it is gone")
        reader.close()
