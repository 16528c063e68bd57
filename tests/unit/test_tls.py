"""Agent and collector believe the same brokers, whichever Python they run on."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

import agent.settings
import collector.settings
from tests.support.certificates import Authority

Side = type[agent.settings.TlsTable | collector.settings.TlsSettings]
both_sides = pytest.mark.parametrize(
    "side", [agent.settings.TlsTable, collector.settings.TlsSettings], ids=["agent", "collector"]
)


def client_of(side: Side, folder: Path) -> ssl.SSLContext:
    made = side(ca_file=folder / "ca.pem", cert_file=folder / "caller.pem", cert_key_file=folder / "caller.key")
    return made.context()


def meet(client: ssl.SSLContext, folder: Path, server: str) -> str | None:
    """Shake hands in memory; the version agreed on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / f"{server}.pem", folder / f"{server}.key")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    calling = client.wrap_bio(down, up, server_hostname="127.0.0.1")
    answering = context.wrap_bio(up, down, server_side=True)
    for _ in range(3):  # hello and answer, proof, done
        for end in (calling, answering):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return calling.version()


@both_sides
def test_a_broker_with_a_full_certificate_is_believed(side: Side, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("caller")
    authority.issue("broker", is_server=True)
    assert meet(client_of(side, tmp_path), tmp_path, "broker") == "TLSv1.3"


@both_sides
def test_an_agent_s_certificate_does_not_make_a_broker(side: Side, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("caller")
    authority.issue("other")
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        meet(client_of(side, tmp_path), tmp_path, "other")


@both_sides
def test_certificates_without_key_identifiers_are_refused(side: Side, tmp_path: Path) -> None:
    authority = Authority(tmp_path, has_identifiers=False)
    authority.issue("caller")
    authority.issue("broker", is_server=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="Key Identifier"):
        meet(client_of(side, tmp_path), tmp_path, "broker")
