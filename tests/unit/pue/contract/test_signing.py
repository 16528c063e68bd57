"""Keys and signatures: what was signed is what is accepted."""

from __future__ import annotations

import base64

import pytest

from pue.contract.errors import Fatal, Reject
from pue.contract.signing import Signer, Verifier

# RFC 8032, section 7.1, test 2.
SECRET = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def base64_of(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def test_signature_agrees_with_rfc_8032() -> None:
    signer = Signer.from_text(base64_of(SECRET))
    assert signer.verifier.to_text() == base64_of(PUBLIC)
    assert signer.sign(b"\x72").decode() == base64_of(SIGNATURE)


def test_keys_survive_being_written_down() -> None:
    signer = Signer.generate()
    again = Signer.from_text(signer.to_text() + "\n")
    Verifier.from_text(signer.verifier.to_text()).check(b"x", again.sign(b"x"))
    assert again.key_id == signer.key_id == signer.verifier.key_id


def test_another_keys_signature_is_refused() -> None:
    with pytest.raises(Reject, match="does not fit key"):
        Signer.generate().verifier.check(b"x", Signer.generate().sign(b"x"))


def test_a_signature_has_one_spelling() -> None:
    """The last character before the padding holds two bits of the signature and four that say nothing."""
    signer = Signer.generate()
    right = signer.sign(b"line")
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = letters.index(right[85:86])
    accepted = []
    for other in range(place & ~15, (place & ~15) + 16):
        spelled = right[:85] + letters[other : other + 1] + b"=="
        try:
            signer.verifier.check(b"line", spelled)
        except Reject:
            continue
        accepted.append(spelled)
    assert accepted == [right]


@pytest.mark.parametrize("text", ["", "?", "AAAA", "A" * 44, "A" * 20 + " " + "A" * 23 + "="])
def test_text_that_is_no_key_is_fatal(text: str) -> None:
    with pytest.raises(Fatal, match=r"^private key is not 32 bytes in base64; write it with `keygen`$"):
        Signer.from_text(text)
    with pytest.raises(Fatal, match=r"^public key is not 32 bytes in base64; write it with `keygen`$"):
        Verifier.from_text(text)
