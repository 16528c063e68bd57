"""The collector's configuration file as frozen settings."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pue.contract.errors import Fatal, PueError
from pue.contract.settings import Settings, parse
from pue.contract.signing import Verifier

NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"
TOKEN_VARIABLE = "PUE_INFLUX_TOKEN"  # noqa: S105 - the name of the variable, not a secret

Name = Annotated[str, Field(pattern=NAME)]
Port = Annotated[int, Field(ge=1, le=65535)]


class CollectorSettings(Settings):
    """Who this collector is, which shards it owns and where its state lives."""

    id: Name
    state_dir: Path
    shards: Annotated[list[Name], Field(min_length=1)]
    quarantine_mib: Annotated[int, Field(ge=1)] = 256
    project_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0


class TlsSettings(Settings):
    """How the broker proves itself, and we ourselves: PEM files; its rules know our certificate's name."""

    ca_file: Path
    cert_file: Path
    cert_key_file: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 with both sides proved.

        Raises
        ------
        Fatal
            If a file is missing or not what it should be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            # Python's default since 3.13: asked for by name, a certificate is good on all versions or on none.
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            context.load_cert_chain(self.cert_file, self.cert_key_file)
        except (OSError, ssl.SSLError) as error:
            raise Fatal(
                f"mqtt.tls: {self.ca_file}, {self.cert_file} or {self.cert_key_file} cannot be used ({error}); "
                "give PEM files this user may read"
            ) from None
        return context


class MqttSettings(Settings):
    """The broker."""

    host: str = "127.0.0.1"
    port: Port = 1883
    keepalive_seconds: Annotated[int, Field(ge=5, le=600)] = 30
    tls: TlsSettings | None = None


class TopologySettings(Settings):
    """Where compliance writes the signed topology document, and whose signature counts."""

    file: Path
    issuer_key: str

    @field_validator("issuer_key")
    @classmethod
    def _is_a_key(cls, text: str) -> str:
        try:
            Verifier.from_text(text)
        except PueError:
            raise ValueError("is not a public key; `pue-compliance keygen` prints it") from None
        return text


class SeriesSettings(Settings):
    """Which series store holds readings and slots."""

    store: Literal["sqlite", "influxdb"] = "sqlite"
    path: Path | None = None
    url: str | None = None
    org: str = "pue"
    bucket: str = "pue"
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0

    @model_validator(mode="after")
    def _is_complete(self) -> SeriesSettings:
        if self.store == "sqlite" and self.path is None:
            raise ValueError('store = "sqlite" needs path, the file of the series database')
        if self.store == "influxdb" and self.url is None:
            raise ValueError('store = "influxdb" needs url, for example http://127.0.0.1:8086')
        return self

    @property
    def token(self) -> str:
        """InfluxDB's token, from the environment; empty for 1.x without accounts."""
        return os.environ.get(TOKEN_VARIABLE, "")


class HealthSettings(Settings):
    """Prometheus metrics on loopback."""

    port: Port


class Document(Settings):
    """The whole file."""

    collector: CollectorSettings
    mqtt: MqttSettings = MqttSettings()
    topology: TopologySettings
    series: SeriesSettings
    health: HealthSettings | None = None


def load(path: Path) -> Document:
    """Read and check the file.

    Raises
    ------
    Fatal
        Naming file, line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"{path}: cannot be read ({error}); name the configuration with --config") from None
    return parse(text, Document, str(path))
