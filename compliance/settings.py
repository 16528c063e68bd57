"""What `compliance.toml` may say."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from pue.contract.errors import Fatal
from pue.contract.settings import Settings, parse
from pue.contract.signing import Signer

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Compliance(Settings):
    """Who issues, where the log is kept, which rules are judged."""

    issuer: Name
    database: str
    key_file: Path
    topology_file: Path
    policies: list[str] = Field(default=["yunnan-2022-draft"], min_length=1)
    demo: bool = False
    evaluate_seconds: Annotated[float, Field(ge=0.2)] = 5.0


class Api(Settings):
    """Where the API and the console listen."""

    host: str = "127.0.0.1"
    port: Port = 8080


class Series(Settings):
    """Where the collector keeps its series and its ledger."""

    store: Literal["sqlite", "influxdb"] = "sqlite"
    path: Path | None = None
    state_dir: Path
    url: str | None = None
    org: str = "pue"
    bucket: str = "pue"
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0

    @model_validator(mode="after")
    def _is_complete(self) -> Series:
        if self.store == "sqlite" and self.path is None:
            raise ValueError('store = "sqlite" needs path, the file of the collector\'s series database')
        if self.store == "influxdb" and self.url is None:
            raise ValueError('store = "influxdb" needs url, for example http://127.0.0.1:8086')
        return self


class ComplianceSettings(Settings):
    """The whole file."""

    compliance: Compliance
    api: Api = Api()
    series: Series


def load(path: Path) -> ComplianceSettings:
    """Read and check the file.

    Raises
    ------
    Fatal
        Naming file, line and field.
    """
    return parse(_read(path), ComplianceSettings, path.name)


def load_signer(path: Path) -> Signer:
    """Read the private key by which topology documents are signed.

    Raises
    ------
    Fatal
        If the file is missing, readable by others, or not a key.
    """
    text = _read(path, "write it with `pue-compliance keygen`")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise Fatal(f"key file {path} can be read by others; run: chmod 600 {path}")
    return Signer.from_text(text)


def without_password(url: str) -> str:
    """A database address that may be shown."""
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)


def _read(path: Path, remedy: str = "check the path") -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise Fatal(f"cannot read {path}: {reason}; {remedy}") from None
