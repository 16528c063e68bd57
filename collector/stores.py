"""The series store that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from collector.settings import SeriesSettings
from collector.store import SeriesReaderStore, SeriesStore


@contextmanager
def store_anew(settings: SeriesSettings) -> Iterator[SeriesStore]:
    """An empty store that takes the place of the one there is, whichever version of this program wrote it.

    A file is replaced at the end, in one transaction, or not at all. InfluxDB has one database: it is emptied first.
    """
    if settings.store == "sqlite":
        from collector.sqlite_store import beside

        assert settings.path is not None
        with beside(settings.path) as store:
            yield store
        return
    with closing(open_store(settings)) as store:
        store.wipe()
        yield store


def open_store(settings: SeriesSettings) -> SeriesStore:
    """Open for writing.

    Raises
    ------
    Fatal
        If another version wrote it; InfluxDB tells at the first use.
    """
    if settings.store == "sqlite":
        from collector.sqlite_store import SqliteStore

        assert settings.path is not None
        return SqliteStore(settings.path)
    from collector.influx_store import InfluxStore

    return InfluxStore(settings)


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
