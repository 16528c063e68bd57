"""A throw-away certificate authority for tests, as strict as RFC 5280 asks and Python checks since 3.13."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

DAY = dt.timedelta(days=1)


class Authority:
    """Issues certificates into a folder, and revokes them.

    Parameters
    ----------
    folder
        Gets `ca.pem`, `crl.pem`, and `NAME.pem` with `NAME.key` for each certificate.
    has_identifiers
        Whether its certificates name the keys they are of and from, as they should.
    """

    def __init__(self, folder: Path, *, has_identifiers: bool = True) -> None:
        self._folder = folder
        self._has_identifiers = has_identifiers
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("test authority")
        self._revoked: list[int] = []
        certificate = (
            self._builder("test authority", self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        self._write_revocations()

    def issue(self, name: str, *, is_server: bool = False, is_revoked: bool = False) -> tuple[Path, Path]:
        """Certificate and key for a name, to call with or, for a server on 127.0.0.1, to answer with."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            self._builder(name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(addresses, critical=False)
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
        builder = builder.add_extension(x509.CRLNumber(len(self._revoked) + 1), critical=False)
        builder = builder.add_extension(self._issuer_key(), critical=False)
        for number in self._revoked:
            gone = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY).build()
            builder = builder.add_revoked_certificate(gone)
        self._write("crl.pem", builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(_named(name)).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - DAY).not_valid_after(now + DAY)
        if not self._has_identifiers:
            return builder
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        return builder.add_extension(self._issuer_key(), critical=False)

    def _issuer_key(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in allowed for name in names})
