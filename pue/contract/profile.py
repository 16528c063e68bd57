"""Meter models as data: one TOML file says where a model keeps each quantity, and proves it with test vectors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pue.contract.decode import Code, ObjectCode, RegisterCode, decode, words_of
from pue.contract.errors import Fatal
from pue.contract.quantities import step
from pue.contract.settings import Settings, parse

MAX_ADDRESS = 65_535

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
HexWords = Annotated[str, StringConstraints(pattern=r"^\s*([0-9a-fA-F]{2}\s*)+$")]
Oid = Annotated[str, StringConstraints(pattern=r"^[0-2](\.[0-9]+)+(\.\{index\}(\.[0-9]+)*)?$")]
Exponent = Annotated[int, Field(ge=-9, le=9)]
Modulus = Annotated[int, Field(ge=0)]


class _Quantity(Settings):
    """What both transports state of a quantity; a `modulus` of 0 means that it is not known to wrap."""

    unit: str
    exponent: Exponent
    modulus: Modulus = 0


class ModbusQuantity(_Quantity):
    """A quantity in consecutive registers; `addr` is the address on the wire, counted from 0."""

    addr: Annotated[int, Field(ge=0, le=MAX_ADDRESS)]
    type: Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]
    sentinels: tuple[HexWords, ...] = ()

    @property
    def words(self) -> int:
        """Length. [16-bit registers]"""
        return words_of(self.type)


class SnmpQuantity(_Quantity):
    """A quantity in an object; `{index}` in an OID stands for the PDU, inlet or cord."""

    oid: Oid
    type: Literal["i32", "u32", "u64"]
    exponent_oid: Oid | None = None
    sentinels: tuple[int, ...] = ()


class Modbus(Settings):
    """How a model wants to be asked: function code, longest read, gap it tolerates between values, word order.

    `max_regs` holds at least the longest value, so that no read has to split one.
    """

    fc: Literal[3, 4]
    max_regs: Annotated[int, Field(ge=4, le=125)]
    gap: Annotated[int, Field(ge=0, le=120)]
    word_order: Literal["high-first", "low-first"]


class Vector(Settings):
    """Raw bytes from a manual or a capture, and the counts they mean, or "sentinel" where they mean "no value"."""

    raw: dict[str, HexWords]
    expect: dict[str, int | Literal["sentinel"]]


class _Head(Settings):
    """What every profile states of its origin, and on which side of the transformers the meter counts.

    Operators have profiles of before there was a side; there it is `None`, unknown.
    """

    id: Id
    model: str
    firmware: str
    source: str
    status: Literal["document", "bench", "field"]
    resolution: str
    side: Literal["primary", "secondary"] | None = None
    test: tuple[Vector, ...]


class ModbusProfile(_Head):
    """A profile of a meter on Modbus TCP."""

    interface: Literal["modbus-tcp"]
    modbus: Modbus
    quantity: dict[str, ModbusQuantity]


class SnmpProfile(_Head):
    """A profile of a meter on SNMP v2c."""

    interface: Literal["snmp-v2c"]
    quantity: dict[str, SnmpQuantity]


@dataclass(frozen=True, slots=True)
class MeterProfile:
    """A checked profile with its text, which travels in the agent's config batch.

    Attributes
    ----------
    spec
        What the file says.
    codes
        How each quantity is decoded.
    text
        The file itself.
    """

    spec: ModbusProfile | SnmpProfile
    codes: Mapping[str, Code]
    text: str

    @property
    def id(self) -> str:
        """Name of the model in settings."""
        return self.spec.id


def load_meter_profile(text: str, name: str) -> MeterProfile:
    """Read and lint the TOML text of a profile.

    Parameters
    ----------
    text
        The file's content.
    name
        What to call it in messages: its file name.

    Raises
    ------
    Fatal
        With one line per error: file, line, field, what is wrong.
    """
    spec = parse(text, _model(text, name), name)
    profile = MeterProfile(spec, _codes(spec), text)
    errors = [f"{name}:{_line(text, quantity)} {quantity}: {message}" for quantity, message in _lint(profile)]
    if errors:
        raise Fatal("\n".join(errors))
    return profile


def builtin_meter_profiles() -> dict[str, MeterProfile]:
    """All profiles that come with this package, by id."""
    files = sorted((resources.files("pue") / "profiles").iterdir(), key=lambda file: file.name)
    loaded = (load_meter_profile(file.read_text("utf-8"), file.name) for file in files if file.name.endswith(".toml"))
    return {profile.id: profile for profile in loaded}


def _model(text: str, name: str) -> type[ModbusProfile] | type[SnmpProfile]:
    try:
        interface = tomllib.loads(text).get("interface")
    except tomllib.TOMLDecodeError as error:
        raise Fatal(f"{name}: not TOML: {error}") from None
    if interface == "modbus-tcp":
        return ModbusProfile
    if interface == "snmp-v2c":
        return SnmpProfile
    raise Fatal(f"{name}:1 interface: {interface!r} is unknown; use 'modbus-tcp' or 'snmp-v2c'")


def _codes(spec: ModbusProfile | SnmpProfile) -> dict[str, Code]:
    if isinstance(spec, ModbusProfile):
        low_first = spec.modbus.word_order == "low-first"
        return {name: _register_code(quantity, low_first) for name, quantity in spec.quantity.items()}
    return {name: _object_code(quantity) for name, quantity in spec.quantity.items()}


def _register_code(quantity: ModbusQuantity, low_first: bool) -> RegisterCode:
    sentinels = frozenset(_squeeze(words) for words in quantity.sentinels)
    return RegisterCode(quantity.type, quantity.exponent, low_first, sentinels)


def _object_code(quantity: SnmpQuantity) -> ObjectCode:
    has_digits = quantity.exponent_oid is not None
    return ObjectCode(quantity.type, quantity.exponent, has_digits, frozenset(quantity.sentinels))


def _lint(profile: MeterProfile) -> Iterator[tuple[str, str]]:
    """Quantity and message of each thing the types alone cannot see."""
    for name, quantity in profile.spec.quantity.items():
        try:
            step(name, quantity.unit, quantity.exponent)
        except Fatal as error:
            yield name, str(error)
        if not any(name in vector.raw and name in vector.expect for vector in profile.spec.test):
            yield name, "has no test vector; add raw bytes from a manual or a capture, with the count they mean"
    yield from _lint_vectors(profile)
    if isinstance(profile.spec, ModbusProfile):
        yield from _lint_addresses(profile.spec)


def _lint_vectors(profile: MeterProfile) -> Iterator[tuple[str, str]]:
    for vector in profile.spec.test:
        for name in sorted(vector.raw.keys() | vector.expect.keys()):
            if name not in profile.codes or name not in vector.raw or name not in vector.expect:
                yield name, "a test vector needs the quantity, its raw bytes and its expected count"
                continue
            count, quality = decode(_squeeze(vector.raw[name]), profile.codes[name])
            # A vector expects a count, or the name of the reason why there is none.
            found = count if count is not None else quality.name.lower() if quality.name else ""
            if found != vector.expect[name]:
                yield name, f"test vector {vector.raw[name]!r} decodes to {found}, expected {vector.expect[name]}"


def _lint_addresses(spec: ModbusProfile) -> Iterator[tuple[str, str]]:
    end_before = 0
    before = ""
    for name, quantity in sorted(spec.quantity.items(), key=lambda item: item[1].addr):
        end = quantity.addr + quantity.words
        if end > MAX_ADDRESS + 1:
            yield name, f"ends at address {end - 1}, beyond {MAX_ADDRESS}: a value cannot be split"
        if quantity.addr < end_before:
            yield name, f"begins at {quantity.addr}, inside {before!r}: one of the two addresses splits a value"
        end_before = end
        before = name


def _squeeze(words: str) -> str:
    return "".join(words.split()).lower()


def _line(text: str, quantity: str) -> int:
    header = re.compile(rf"^\s*\[quantity\.{re.escape(quantity)}\]")
    for number, line in enumerate(text.splitlines(), start=1):
        if header.match(line):
            return number
    return 1
