"""What version 1 of the wire wrote in another form: read for as long as agents of release 0.1 send it (WIRE.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pue.contract.batches import (
    MAX_COUNT,
    MAX_SEQ,
    Ack,
    Base,
    Bits,
    Count,
    DataBatch,
    Epoch,
    Hash,
    Header,
    Hex,
    MeterName,
    Name,
    PeriodMs,
    QuantityName,
    Ratio,
    Readings,
    Text,
    TimeMs,
    Unit,
)

VERSION = 1


class ReadingsV1(Base, frozen=True, kw_only=True):
    """Columns of equal length, with places and times in full: see `Readings`."""

    base_ms: TimeMs
    point: list[Annotated[int, msgspec.Meta(ge=0)]]
    t0: list[Annotated[int, msgspec.Meta(ge=0)]]
    dt: list[Annotated[int, msgspec.Meta(ge=0)]]
    raw: list[Hex]
    count: list[Count | None]
    quality: list[Bits]


class Meter(Base, frozen=True, kw_only=True):
    """A meter as the agent was configured to read it."""

    meter: MeterName
    profile: Name
    address: Text
    serial: Text
    firmware: Text = ""
    ct: Ratio = "1"
    pt: Ratio = "1"


class Point(Base, frozen=True, kw_only=True):
    """One quantity of one meter: what a reading's `point` refers to."""

    meter: MeterName
    quantity: QuantityName
    unit: Unit
    exponent: Annotated[int, msgspec.Meta(ge=-9, le=9)]


class Config(Base, frozen=True, kw_only=True):
    """A configuration in one batch: meters, points, full profile texts."""

    poll_ms: PeriodMs
    meters: list[Meter]
    points: list[Point]
    profiles: dict[str, str]
    software: Text


class DataBatchV1(Header, frozen=True, kw_only=True, tag_field="kind", tag="data"):
    """Readings; `config` is the hash of a config batch's line."""

    body: ReadingsV1

    def upgraded(self) -> DataBatch:
        """The same batch with its columns as they are now."""
        body = self.body
        readings = Readings.of(body.base_ms, body.point, body.t0, body.dt, body.raw, body.count, body.quality)
        header = {name: getattr(self, name) for name in Header.__struct_fields__}
        return DataBatch(**header, body=readings)


class ConfigBatchV1(Header, frozen=True, kw_only=True, tag_field="kind", tag="config"):
    """A whole configuration; the hash of its line is what data batches name."""

    body: Config


class AckV1(Base, frozen=True, kw_only=True):
    """An ack as release 0.1 reads it: with these fields and no other."""

    v: Literal[1] = 1
    collector: Name
    generation: Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]
    agent: Name
    epoch: Epoch
    upto: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
    sha256: Hash
    ranges: list[tuple[int, int]]
    refused: list[tuple[int, str]]

    @classmethod
    def of(cls, ack: Ack) -> AckV1:
        """What an agent of release 0.1 can be told: of held numbers nothing, it sends them again."""
        return cls(**{name: getattr(ack, name) for name in cls.__struct_fields__ if name != "v"})

    def upgraded(self) -> Ack:
        """The same ack as it is now; it keeps its version."""
        return Ack(**{name: getattr(self, name) for name in self.__struct_fields__})
