"""Ed25519 keys and the signed line: JSON bytes, newline, base64 signature over exactly those bytes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pue.contract.canonical import sha256_hex
from pue.contract.errors import Fatal, Reject, RejectReason

ALGORITHM = "Ed25519"
SIGNATURE_CHARS = 88
MAX_SIGNATURE_CHARS = 8192
"""Of a signature by whatever algorithm comes next: ML-DSA-87 takes 6,172."""


def key_id(public: bytes) -> str:
    """Short name of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return sha256_hex(public)[:16]


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key that signs lines."""

    _private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> Signer:
        """Make a new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_text(cls, text: str) -> Signer:
        """Read the base64 form that `to_text` writes.

        Raises
        ------
        Fatal
            If the text is not 32 bytes in base64.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(_bytes32(text, "private key")))

    def to_text(self) -> str:
        """Return the private key in base64: keep it in a file of mode 0600."""
        return base64.b64encode(self._private.private_bytes_raw()).decode()

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self._private.public_key())

    @property
    def key_id(self) -> str:
        """Name of the key, as it stands in a batch header."""
        return self.verifier.key_id

    def sign(self, line: bytes) -> bytes:
        """Signature over the exact bytes, in base64 (88 characters)."""
        return base64.b64encode(self._private.sign(line))


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that checks lines."""

    _public: Ed25519PublicKey

    @classmethod
    def from_text(cls, text: str) -> Verifier:
        """Read the base64 form that `to_text` writes.

        Raises
        ------
        Fatal
            If the text is not 32 bytes in base64.
        """
        return cls(Ed25519PublicKey.from_public_bytes(_bytes32(text, "public key")))

    def to_text(self) -> str:
        """Return the public key in base64."""
        return base64.b64encode(self._public.public_bytes_raw()).decode()

    @property
    def key_id(self) -> str:
        """Name of the key, as it stands in a batch header."""
        return key_id(self._public.public_bytes_raw())

    def check(self, line: bytes, signature: bytes) -> None:
        """Accept a signature over the exact bytes or refuse it.

        Raises
        ------
        Reject
            `bad_signature`.
        """
        try:
            # validate: without it base64 skips what are no characters of its own.
            raw = base64.b64decode(signature, validate=True)
            if base64.b64encode(raw) != signature:  # 88 characters have four bits more than 64 bytes: one spelling only
                raise InvalidSignature
            self._public.verify(raw, line)
        except (InvalidSignature, binascii.Error, ValueError):
            raise Reject(
                RejectReason.BAD_SIGNATURE,
                f"signature {signature[:12]!r}… does not fit key {self.key_id}; check which key signed it",
            ) from None


def _bytes32(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32:
        raise Fatal(f"{what} is not 32 bytes in base64; write it with `keygen`")
    return data
