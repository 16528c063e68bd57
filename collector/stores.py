"""The series store that the settings name."""

from __future__ import annotations

from collector.settings import SeriesSettings
from collector.store import SeriesReaderStore, SeriesStore


def open_store(settings: SeriesSettings) -> SeriesStore:
    """Open for writing."""
    if settings.store == "sqlite":
        from collector.sqlite_store import SqliteStore

        assert settings.path is not None
        return SqliteStore(settings.path)
    from collector.influx_store import InfluxStore

    return InfluxStore(settings)


def open_store_reader(settings: SeriesSettings) -> SeriesReaderStore:
    """Open for reading beside the writer; one per thread.

    Raises
    ------
    Retry
        While the store is not there.
    """
    if settings.store == "sqlite":
        from collector.sqlite_store import open_reader

        assert settings.path is not None
        return open_reader(settings.path)
    from collector.influx_store import InfluxStore

    return InfluxStore(settings)
