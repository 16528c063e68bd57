"""The registry as people write it: enterprises, facilities, meters and agents in one TOML file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from compliance.identifiers import check_region, check_uscc
from pue.contract.errors import Fatal
from pue.contract.quantities import QUANTITIES, step
from pue.contract.settings import Settings, parse
from pue.contract.signing import Verifier
from pue.energy.uncertainty import WIDEST_METER_CLASS, WIDEST_TRANSFORMER_CLASS, relative_uncertainty


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA database; write e.g. Asia/Shanghai") from None
    return text


def _weight(text: str) -> str:
    try:
        return str(Fraction("" if "e" in text.lower() else text))
    except (ValueError, ZeroDivisionError):
        raise ValueError('not an exact fraction as text; write e.g. "1", "-1" or "99/10"') from None


def _quantity(text: str) -> str:
    if text not in QUANTITIES:
        raise ValueError(f"unknown quantity; use one of {', '.join(QUANTITIES)}")
    return text


def _public_key(text: str) -> str:
    try:
        return Verifier.from_text(text).to_text()
    except (Fatal, ValueError):
        raise ValueError("not an Ed25519 public key in base64; `pue-agent keygen` prints it") from None


def _since_1970(moment: datetime) -> datetime:
    if ms(moment) < 0:
        raise ValueError("before 1970; write when the meter was installed")
    return moment


def _modulus(value: Any) -> Any:
    return None if value == 0 else value


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
MeterName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Text = Annotated[str, StringConstraints(max_length=200)]
Uscc = Annotated[str, AfterValidator(check_uscc)]
Gb2260 = Annotated[str, AfterValidator(check_region)]
Zone = Annotated[str, AfterValidator(_zone)]
Moment = Annotated[AwareDatetime, AfterValidator(_since_1970)]
Weight = Annotated[str, StringConstraints(max_length=64), AfterValidator(_weight)]
Quantity = Annotated[str, AfterValidator(_quantity)]
PublicKey = Annotated[str, AfterValidator(_public_key)]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(/[1-9][0-9]*)?$", max_length=32)]
ConfigHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)]


class Enterprise(Settings):
    """Who operates facilities, by its unified social credit code."""

    uscc: Uscc
    name: Title
    name_en: Text = ""


class Register(Settings):
    """One register of a meter: unit and decimal exponent of a count; modulus 0 means that it is not known to wrap."""

    quantity: Quantity
    unit: str
    exponent: Annotated[int, Field(ge=-9, le=9)]
    modulus: Annotated[Annotated[int, Field(gt=0, lt=1 << 62)] | None, BeforeValidator(_modulus)] = None

    @model_validator(mode="after")
    def _unit_measures_quantity(self) -> Register:
        try:
            step(self.quantity, self.unit, self.exponent)
        except Fatal as error:
            raise ValueError(str(error)) from None
        return self


class Replacement(Settings):
    """Counts of the old and the new register when a meter was exchanged."""

    quantity: Quantity
    old_final_count: Count
    new_initial_count: Count


class MeterVersion(Settings):
    """How a meter was installed from a time on, until the next version.

    A class left out is not registered, and nothing stands in for it; that of a transformer with ratio 1 is "" because
    there is none. `certificate_to` is the last day on which the meter's calibration certificate is valid; without it no
    certificate is registered. `agent` is the one that reads the meter: of others at its site nothing is believed of it;
    left out, any of them may. `calibration_group` names the common source of error that certificates show; a meter that
    they show to be independent has a group of its own.
    """

    from_: Moment = Field(alias="from")
    to: Moment | None = None
    serial: Text
    agent: Name | Literal[""] = ""
    profile: Name
    registers: tuple[Register, ...]
    max_power_w: Annotated[int, Field(gt=0, le=10**12)]
    max_ramp_w_per_s: Annotated[int, Field(gt=0, le=10**9)] | None = None
    ct: Ratio = "1"
    pt: Ratio = "1"
    meter_class: str = ""
    ct_class: str = ""
    pt_class: str = ""
    calibration_group: Text = ""
    certificate_to: date | None = None
    replacements: tuple[Replacement, ...] = ()
    a: Weight | None = None
    b: Weight | None = None

    @model_validator(mode="after")
    def _classes_are_known(self) -> MeterVersion:
        try:
            relative_uncertainty(*self.classes)
        except Fatal as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def is_class_known(self) -> bool:
        """Whether the class of the meter, and of every transformer it hangs on, is registered."""
        return self.classes == (self.meter_class, self.ct_class, self.pt_class)

    @property
    def classes(self) -> tuple[str, str, str]:
        """Accuracy classes of meter, CT and PT to compute with: the widest where one is not registered."""
        return (
            self.meter_class or WIDEST_METER_CLASS,
            self.ct_class or _widest_behind(self.ct),
            self.pt_class or _widest_behind(self.pt),
        )

    def certificate_ends_ms(self, zone: str) -> int | None:
        """First moment at which the certificate no longer holds; None without one or without an end. [ms UTC]"""
        if self.certificate_to is None or self.certificate_to == date.max:
            return None
        return local_midnight_ms(self.certificate_to + timedelta(days=1), zone)

    @property
    def from_ms(self) -> int:
        """Start of the version. [ms UTC]"""
        return ms(self.from_)

    @property
    def to_ms(self) -> int | None:
        """End of the version if it has its own, without waiting for the next one. [ms UTC]"""
        return None if self.to is None else ms(self.to)


class Meter(Settings):
    """A place where energy is metered and what it counts for.

    A meter taken out of service gets a `to` in its last version; one left out of the file is withdrawn altogether.
    """

    id: MeterName
    name: Text = ""
    parent: str = ""
    a: Weight = "0"
    b: Weight = "0"
    required: bool = True
    quantity: Quantity = "energy_import"
    version: tuple[MeterVersion, ...] = ()

    @property
    def ends_ms(self) -> list[int | None]:
        """Where each version ends: at its own `to` or at the next one's start. [ms UTC]"""
        nexts = [*(version.from_ms for version in self.version[1:]), None]
        return [one.to_ms if one.to_ms is not None else end for one, end in zip(self.version, nexts, strict=True)]

    @model_validator(mode="after")
    def _versions_in_order(self) -> Meter:
        if not self.version:
            _refuse(("id",), f"meter {self.id!r} has no [[facility.meter.version]]; add the installed one")
        starts = [version.from_ms for version in self.version]
        for index in range(1, len(starts)):
            if starts[index] <= starts[index - 1]:
                _refuse(("version", index, "from"), "starts before the version above it; order versions by time")
            end = self.version[index - 1].to_ms
            if end is not None and end > starts[index]:
                _refuse(("version", index - 1, "to"), "ends after the next version has begun; let it end there")
        for index, version in enumerate(self.version):
            if self.quantity not in {register.quantity for register in version.registers}:
                _refuse(("version", index, "registers"), f"no register measures the meter's quantity {self.quantity}")
        return self


class Agent(Settings):
    """A reading device: its shard, the key it signs by, and configurations of it that are approved.

    `key_from` is when this key took over from the one before; left out, the former one is good for another day. What a
    former key signed before its end may still arrive, if it was rotated and this one vouches for it; of a compromised
    one nothing may.
    """

    id: Name
    shard: Name
    public_key: PublicKey
    key_from: Moment | None = None
    former_key: Literal["rotated", "compromised"] = "rotated"
    configs: tuple[ConfigHash, ...] = ()


class FacilityFacts(Settings):
    """What is registered of a data center itself."""

    id: Name
    site: Name = ""
    name: Title
    name_en: Text = ""
    enterprise: Uscc
    region: Gb2260
    timezone: Zone = "Asia/Shanghai"
    stage: Literal["existing", "under_construction", "proposed"]
    build: Literal["new", "existing", "rebuild", "expansion"]
    standard_racks: Annotated[int, Field(ge=0)]
    it_power_kw: Annotated[int, Field(ge=0)]
    approved_on: date | None = None
    commissioned_on: date | None = None
    hub_cluster: Text | None = None
    siting_exception: Text = ""
    incentives: tuple[Text, ...] = ()
    incentives_surveyed: bool = False
    transition_until: date | None = None
    green_grade: Literal["", "1A", "2A", "3A", "4A", "5A"] = ""
    green_grade_certificate: Text = ""
    green_grade_valid_to: date | None = None
    valid_from: date | None = None

    @property
    def known_incentives(self) -> tuple[str, ...] | None:
        """Favours on record; () only where somebody looked and found none, None where nobody looked."""
        return self.incentives if self.incentives or self.incentives_surveyed else None

    @property
    def valid_from_ms(self) -> int:
        """Since when these facts hold; without a day, since ever. [ms UTC]"""
        return local_midnight_ms(self.valid_from, self.timezone) if self.valid_from else 0

    @model_validator(mode="before")
    @classmethod
    def _site_is_id(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("site"):
            return {**values, "site": values.get("id", "")}
        return values


class Facility(FacilityFacts):
    """A data center with its meters and agents."""

    meter: tuple[Meter, ...] = ()
    agent: tuple[Agent, ...] = ()

    @model_validator(mode="after")
    def _meters_form_trees(self) -> Facility:
        names = [meter.id for meter in self.meter]
        _refuse_repeats(names, lambda index: ("meter", index, "id"), "meter")
        parents = {meter.id: meter.parent for meter in self.meter}
        agents = {agent.id for agent in self.agent}
        for index, meter in enumerate(self.meter):
            if meter.parent and meter.parent not in parents:
                _refuse(("meter", index, "parent"), f"{meter.parent!r} is no meter of this facility")
            if _hangs_under_itself(meter.id, parents):
                _refuse(("meter", index, "parent"), f"{meter.id!r} hangs under itself")
            # Versions before it may name an agent that was withdrawn since.
            last = len(meter.version) - 1
            if meter.version[last].agent not in {"", *agents}:
                reader = meter.version[last].agent
                _refuse(("meter", index, "version", last, "agent"), f"{reader!r} is no agent of this facility")
        return self

    @property
    def facts(self) -> FacilityFacts:
        """The facility without its meters and agents."""
        return FacilityFacts.model_validate({name: getattr(self, name) for name in FacilityFacts.model_fields})


class RegistryFile(Settings):
    """The whole file; it may hold a part of the registry, e.g. one prefecture's."""

    enterprise: tuple[Enterprise, ...] = ()
    facility: tuple[Facility, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> RegistryFile:
        _refuse_repeats([e.uscc for e in self.enterprise], lambda index: ("enterprise", index, "uscc"), "enterprise")
        _refuse_repeats([f.id for f in self.facility], lambda index: ("facility", index, "id"), "facility")
        _refuse_repeats([f.site for f in self.facility], lambda index: ("facility", index, "site"), "site")
        places = [(f, a) for f in range(len(self.facility)) for a in range(len(self.facility[f].agent))]
        agents = [self.facility[f].agent[a].id for f, a in places]
        _refuse_repeats(agents, lambda index: ("facility", places[index][0], "agent", places[index][1], "id"), "agent")
        return self


def read_registry(text: str, name: str) -> RegistryFile:
    """Read and check a registry file.

    Raises
    ------
    Fatal
        With one line per error: file, line, field, what is wrong.
    """
    return parse(text, RegistryFile, name)


def local_midnight_ms(day: date, zone: str) -> int:
    """Start of a local day. [ms UTC]"""
    return ms(datetime.combine(day, time(), ZoneInfo(zone)))


def ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC of an aware time."""
    return round(moment.timestamp() * 1000)


def _widest_behind(ratio: str) -> str:
    """Class of a transformer nobody registered one for: none if there is no transformer."""
    return "" if Fraction(ratio) == 1 else WIDEST_TRANSFORMER_CLASS


def _hangs_under_itself(meter: str, parents: dict[str, str]) -> bool:
    seen = {meter}
    above = parents.get(meter, "")
    while above:
        if above in seen:
            return True
        seen.add(above)
        above = parents.get(above, "")
    return False


def _refuse_repeats(names: Iterable[str], loc: Any, what: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            _refuse(loc(index), f"{what} {name!r} stands here for the second time; give each its own name")
        seen.add(name)


def _refuse(loc: tuple[str | int, ...], message: str) -> None:
    """Raise an error whose place pydantic, and with it file and line, can tell."""
    error = PydanticCustomError("registry", "{message}", {"message": message})
    raise ValidationError.from_exception_data("registry", [InitErrorDetails(type=error, loc=loc, input=None)])
