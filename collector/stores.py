"""The series store that the settings name."""

from __future__ import annotations

from collector.settings import SeriesSettings
from collector.store import SeriesReaderStore, SeriesStore


def open_store(settings: SeriesSettings, *, anew: bool = False) -> SeriesStore:
    """Open for writing.

    Parameters
    ----------
    settings
        Which store.
    anew
        Begin with an empty store, whichever version of this program wrote what is in it.

    Raises
    ------
    Fatal
        If another version wrote it; InfluxDB tells at the first use.
    """
    if settings.store == "sqlite":
        from collector.sqlite_store import SqliteStore

        assert settings.path is not None
        return SqliteStore(settings.path, anew=anew)
    from collector.influx_store import InfluxStore

    store = InfluxStore(settings)
    if anew:
        store.wipe()
    return store


def check_store(settings: SeriesSettings) -> None:
    """See that a store file, if there is one, is of this version; connects to nothing.

    Raises
    ------
    Fatal
        Naming the file and the remedy.
    """
    if settings.store == "sqlite":
        from collector.sqlite_store import check_file

        assert settings.path is not None
        check_file(settings.path)


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
