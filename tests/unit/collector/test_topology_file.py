"""The topology file is watched, and only something newer and valid replaces what is in force."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.topology import TopologyFile
from pue.contract.signing import Signer
from tests.support.plants import ISSUER, FakeAgent, topology_of, write_topology


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "topology.signed"


def watch(path: Path) -> TopologyFile:
    return TopologyFile(path, ISSUER.verifier.to_text(), path.parent / "cache")


def write(path: Path, version: int, issuer: Signer = ISSUER) -> None:
    write_topology(path, topology_of([FakeAgent()], version), issuer)


def test_a_new_version_is_taken_once(path: Path) -> None:
    write(path, 1)
    file = watch(path)
    first = file.load()
    assert first is not None
    assert (first.version, file.refresh()) == (1, False)
    write(path, 2)
    assert file.refresh()
    assert not file.refresh()
    assert file.current is not None
    assert file.current.version == 2


def test_a_missing_file_is_named_with_its_remedy_and_taken_when_it_comes(path: Path) -> None:
    file = watch(path)
    assert file.load() is None
    assert str(path) in file.problem
    assert "pue-compliance topology" in file.problem
    write(path, 1)
    assert file.refresh()
    assert file.problem == ""


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}\n" + b"A" * 88 + b"\n"])
def test_a_bad_file_keeps_the_version_before(path: Path, content: bytes) -> None:
    write(path, 1)
    file = watch(path)
    file.load()
    path.write_bytes(content)
    assert not file.refresh()
    assert file.current is not None
    assert "version 1 stays in force" in file.problem


def test_anothers_signature_or_an_older_version_is_refused(path: Path) -> None:
    write(path, 2)
    file = watch(path)
    file.load()
    write(path, 3, Signer.generate())
    assert not file.refresh()
    assert "bad_signature" in file.problem
    write(path, 1)
    assert not file.refresh()
    assert "older than version 2" in file.problem


def test_the_last_good_version_survives_a_restart(path: Path) -> None:
    write(path, 4)
    watch(path).load()
    path.write_bytes(b"broken")
    file = watch(path)
    again = file.load()
    assert again is not None
    assert again.version == 4
    assert "version 4 stays in force" in file.problem


def test_a_version_that_cannot_be_copied_is_not_in_force_and_tried_again(path: Path) -> None:
    write(path, 1)
    file = watch(path)
    file.load()
    cache = path.parent / "cache"
    cache.rename(path.parent / "away")
    cache.touch()
    write(path, 2)
    assert not file.refresh()
    assert not file.refresh()
    assert file.current is not None
    assert file.current.version == 1
    assert "version 1 stays in force" in file.problem
    cache.unlink()
    assert file.refresh()
    assert file.current.version == 2


def test_the_copy_of_a_version_is_whole_on_disk_before_it_has_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    write(path, 1)
    watch(path).load()
    assert synced[:1] == ["00000001.new"]
