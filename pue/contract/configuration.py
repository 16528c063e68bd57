"""An agent's configuration as a whole, whether it came in one batch or in parts: what the numbers it sends mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from pue.contract.batches import ConfigBody, LinkMeter, LinkPart, Manifest, ProfilePart
from pue.contract.errors import Fatal, Reject, RejectReason
from pue.contract.quantities import base_units
from pue.contract.wire import MAX_JSON_BYTES, config_digest
from pue.contract.wire_v1 import Config

_PART_BYTES = 200 * 1024
"""JSON of a link's part stays below this, well under the limit of a batch."""
_HEADER_BYTES = 1024
"""More than what a batch has beside its body: names of 64 characters, hashes, times."""


@dataclass(frozen=True, slots=True)
class MeterSetup:
    """A meter as an agent was told to read it; `side` is "" where nobody stated where its registers count."""

    meter: str
    profile: str
    ct: Fraction
    pt: Fraction
    side: str


@dataclass(frozen=True, slots=True)
class PointSetup:
    """What a reading's point is: value = count x scale, in `unit`."""

    meter: str
    quantity: str
    unit: str
    scale: Fraction

    @property
    def step(self) -> Fraction:
        """Base units of one count, before CT and PT; 0 if the unit is none of the quantity's. [J, W, ...]"""
        try:
            return base_units(self.quantity, self.unit) * self.scale
        except Fatal:
            return Fraction(0)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Meters, points in the order in which readings number them, and the profiles' texts by their names."""

    meters: tuple[MeterSetup, ...]
    points: tuple[PointSetup, ...]
    profiles: Mapping[str, str]

    @classmethod
    def of_one_batch(cls, config: Config) -> Configuration:
        """As version 1 of the wire sends it."""
        return cls(
            tuple(
                MeterSetup(meter.meter, meter.profile, Fraction(meter.ct), Fraction(meter.pt), "")
                for meter in config.meters
            ),
            tuple(
                PointSetup(point.meter, point.quantity, point.unit, Fraction(10) ** point.exponent)
                for point in config.points
            ),
            config.profiles,
        )

    @classmethod
    def of_parts(cls, manifest: Manifest, parts: Mapping[str, ConfigBody]) -> Configuration:
        """Put together from parts by their digests.

        Raises
        ------
        KeyError
            The digest of a part that is not there.
        Reject
            `malformed`, when a digest is that of another kind of part, or a meter's profile is not among them.
        """
        profiles = dict(_profile(digest, parts[digest]) for digest in manifest.profiles)
        links = [_link(digest, parts[digest]) for digest in manifest.links]
        found = cls(
            tuple(
                MeterSetup(meter.meter, meter.profile, Fraction(meter.ct), Fraction(meter.pt), meter.side)
                for link in links
                for meter in link.meters
            ),
            tuple(
                PointSetup(meter.meter, point.quantity, point.unit, Fraction(point.scale))
                for link in links
                for meter in link.meters
                for point in meter.points
            ),
            profiles,
        )
        _check_profiles(manifest, found.meters, profiles)
        return found


def _profile(digest: str, part: ConfigBody) -> tuple[str, str]:
    if not isinstance(part, ProfilePart):
        raise Reject(RejectReason.MALFORMED, f"manifest lists {digest} as a profile; that part is none")
    return part.profile, part.text


def _link(digest: str, part: ConfigBody) -> LinkPart:
    if not isinstance(part, LinkPart):
        raise Reject(RejectReason.MALFORMED, f"manifest lists {digest} as a link; that part is none")
    return part


def _check_profiles(manifest: Manifest, meters: Iterable[MeterSetup], profiles: Mapping[str, str]) -> None:
    for meter in meters:
        if meter.profile not in profiles:
            raise Reject(
                RejectReason.MALFORMED,
                f"configuration of {manifest.agent}: meter {meter.meter!r} lacks the text of {meter.profile!r}",
            )


@dataclass(frozen=True, slots=True)
class ConfigInParts:
    """A configuration on its way out: the parts, and the manifest that names them.

    Attributes
    ----------
    parts
        Each in a batch of its own, by its digest.
    digest
        Of the manifest: what data batches name and what is approved.
    """

    manifest: Manifest
    parts: Mapping[str, ProfilePart | LinkPart]
    digest: str

    @classmethod
    def of(
        cls, site: str, agent: str, software: str, profiles: Mapping[str, str], links: Sequence[LinkPart]
    ) -> ConfigInParts:
        """Take a configuration apart.

        Parameters
        ----------
        profiles
            Texts by name.
        links
            One for each gateway or device, however large; points are numbered in this order.

        Raises
        ------
        Fatal
            If a profile's text, or a single meter, is larger than a batch takes.
        """
        texts = [ProfilePart(profile=name, text=text) for name, text in sorted(profiles.items())]
        pieces = [piece for link in links for piece in _split(link)]
        manifest = Manifest(
            site=site,
            agent=agent,
            software=software,
            profiles=[config_digest(text) for text in texts],
            links=[config_digest(piece) for piece in pieces],
        )
        parts: list[ProfilePart | LinkPart] = [*texts, *pieces]
        for part in parts:
            _check_size(part)
        return cls(manifest, {config_digest(part): part for part in parts}, config_digest(manifest))


def _check_size(part: ProfilePart | LinkPart) -> None:
    size = len(msgspec.json.encode(part))
    if size > MAX_JSON_BYTES - _HEADER_BYTES:
        what = f"profile {part.profile!r}" if isinstance(part, ProfilePart) else f"meter {part.meters[0].meter!r}"
        raise Fatal(f"{what} takes {size} bytes; one batch takes {MAX_JSON_BYTES - _HEADER_BYTES}: make it smaller")


def _split(link: LinkPart) -> Iterator[LinkPart]:
    """Parts of at most `_PART_BYTES` each, but for a single meter that is larger."""
    meters: list[LinkMeter] = []
    size = 0
    for meter in link.meters:
        cost = len(msgspec.json.encode(meter)) + 1
        if meters and size + cost > _PART_BYTES:
            yield LinkPart(link=link.link, meters=meters)
            meters = []
            size = 0
        meters.append(meter)
        size += cost
    yield LinkPart(link=link.link, meters=meters)
