"""A throw-away certificate authority for tests."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = dt.timedelta(days=1)


class Authority:
    """Issues certificates into a folder, and revokes them.

    Parameters
    ----------
    folder
        Gets `ca.pem`, `crl.pem`, and `NAME.pem` with `NAME.key` for each certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("test authority")
        self._revoked: list[int] = []
        certificate = (
            _builder("test authority", self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        self._write_revocations()

    def issue(self, name: str, *, is_revoked: bool = False) -> tuple[Path, Path]:
        """Certificate and key for a name; also valid for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            _builder(name, self._name, key.public_key())
            .add_extension(addresses, False)
            .sign(self._key, hashes.SHA256())
        )
        if is_revoked:
            self._revoked.append(certificate.serial_number)
            self._write_revocations()
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return (
            self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{name}.key", secret),
        )

    def _write_revocations(self) -> None:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - DAY).next_update(now + DAY)
        for number in self._revoked:
            gone = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY).build()
            builder = builder.add_revoked_certificate(gone)
        self._write("crl.pem", builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(_named(name)).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)
