"""The series store on InfluxDB 1.8 and 2.x: written through its client, read with InfluxQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import numpy as np
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from collector.settings import TOKEN_VARIABLE, SeriesSettings
from collector.store import Rows, Table, empty, has_value
from pue.contract.errors import Fatal, Retry
from pue.contract.series import SeriesKey
from pue.energy.slots import Int64

log = logging.getLogger(__name__)

BATCH_LINES = 5000
PAGE_ROWS = 100_000
MILLISECONDS: Any = WritePrecision.MS
LAST_MS = 9_223_372_036_854
"""The latest time InfluxDB's nanoseconds can hold. [ms UTC]"""
REFUSED = frozenset({400, 413, 422})
"""Statuses that blame the content: the lines are tried in halves, and the bad ones put aside."""
NOT_FOUND = 404
NO_VALUE_COLUMN = Table.READING.fields.index("count") + 1
QUALITY_COLUMN = Table.READING.fields.index("quality") + 1


class InfluxStore:
    """Reads and writes one bucket.

    Parameters
    ----------
    settings
        Address, organisation and bucket; the token comes from the environment.
    """

    def __init__(self, settings: SeriesSettings) -> None:
        assert settings.url is not None
        self._url = settings.url.rstrip("/")
        self._org = settings.org
        self._bucket = settings.bucket
        self._headers = {"Authorization": f"Token {settings.token}"} if settings.token else {}
        self._client = InfluxDBClient(
            self._url,
            settings.token or "-",
            org=self._org,
            timeout=round(settings.timeout_seconds * 1000),
            retries=False,
        )
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)
        self._http = urllib3.PoolManager(timeout=settings.timeout_seconds, retries=False, maxsize=4)
        self._is_ours = False

    def write(self, rows: Sequence[Rows]) -> list[tuple[bytes, str]]:
        """Write everything; each request's answer means that InfluxDB has it on disk.

        Raises
        ------
        Fatal
            If an earlier release wrote the bucket.
        """
        self._check_release()
        refused: list[tuple[bytes, str]] = []
        waiting: list[bytes] = []
        for item in rows:
            for line in lines(item):
                waiting.append(line)
                if len(waiting) == BATCH_LINES:
                    refused += self._send(waiting)
                    waiting = []
        return refused + (self._send(waiting) if waiting else [])

    def read(self, table: Table, key: SeriesKey, from_ms: int, to_ms: int) -> Int64:
        """Rows with from_ms <= time < to_ms, page by page.

        Raises
        ------
        Fatal
            If an earlier release wrote one of them.
        """
        parts = list(self._pages(table, key, max(from_ms, 0), min(to_ms, LAST_MS)))
        return np.concatenate(parts, axis=1) if parts else empty(table)

    def wipe(self) -> None:
        """Remove both measurements."""
        for table in Table:
            try:
                self._client.delete_api().delete(
                    datetime.fromtimestamp(0, UTC), datetime(2200, 1, 1, tzinfo=UTC),
                    f'_measurement="{table.measurement}"', self._bucket, self._org,
                )  # fmt: skip
            except ApiException as error:
                if error.status != NOT_FOUND:
                    raise self._away(error) from error
                self._query(f'DROP MEASUREMENT "{table.measurement}"', "POST")
            except urllib3.exceptions.HTTPError as error:
                raise self._away(error) from error
        self._is_ours = True

    def close(self) -> None:
        """Close connections."""
        self._client.close()  # type: ignore[no-untyped-call]  # the client has no types
        self._http.clear()

    def _check_release(self) -> None:
        """Look at one slot, once: InfluxDB has no tables whose version could be read, a missing field is null."""
        if not self._is_ours:
            fields = ", ".join(f'"{name}"' for name in Table.SLOT.fields)
            rows = self._query(f'SELECT {fields} FROM "{Table.SLOT.measurement}" LIMIT 1')  # noqa: S608 - our own names
            self._refuse_other_release(Table.SLOT, rows)
            self._is_ours = True

    def _refuse_other_release(self, table: Table, rows: list[list[Any]]) -> None:
        """A slot's bound that was never written must not be read as 0."""
        if table is Table.SLOT and any(None in row for row in rows):
            raise Fatal(f"bucket {self._bucket!r} of InfluxDB at {self._url} holds slots of an earlier release; "
                        "run `pue-collector rebuild`, which makes them anew from the ledger")  # fmt: skip

    def _send(self, batch: list[bytes]) -> list[tuple[bytes, str]]:
        """Write lines; those InfluxDB refuses for what they say are found by halving."""
        try:
            self._write_api.write(self._bucket, self._org, b"\n".join(batch), write_precision=MILLISECONDS)
        except ApiException as error:
            if error.status not in REFUSED:
                raise self._away(error) from error
            if len(batch) == 1:
                log.error("InfluxDB refuses %r: %s", batch[0], _reason(error))  # noqa: TRY400 - the answer says it all
                return [(batch[0], _reason(error))]
        except urllib3.exceptions.HTTPError as error:
            raise self._away(error) from error
        else:
            return []
        # Of 5,000 lines with one that is refused 13 halvings find it, and the other 4,999 are written on the way.
        middle = len(batch) // 2
        return self._send(batch[:middle]) + self._send(batch[middle:])

    def _pages(self, table: Table, key: SeriesKey, from_ms: int, to_ms: int) -> Iterator[Int64]:
        fields = ", ".join(f'"{name}"' for name in table.fields)
        while from_ms < to_ms:
            rows = self._query(
                f'SELECT {fields} FROM "{table.measurement}" '  # noqa: S608 - names are checked against the contract
                f"WHERE site = '{key.site}' AND meter = '{key.meter}' AND quantity = '{key.quantity}' "
                f"AND time >= {from_ms}ms AND time < {to_ms}ms ORDER BY time LIMIT {PAGE_ROWS}"
            )
            self._refuse_other_release(table, rows)
            if rows:
                yield _columns(table, rows)
            if len(rows) < PAGE_ROWS:
                return
            # Times are unique within a series: the next page begins 1 ms behind the last row.
            from_ms = rows[-1][0] + 1

    def _query(self, query: str, method: str = "GET") -> list[list[Any]]:
        address = f"{self._url}/query?{urlencode({'db': self._bucket, 'epoch': 'ms', 'q': query})}"
        try:
            answer = self._http.request(method, address, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise self._away(error) from error
        try:
            # One statement was asked, so one result has to come; a proxy's error page has none.
            (result,) = msgspec.json.decode(answer.data)["results"]
        except (msgspec.DecodeError, KeyError, ValueError, TypeError):
            raise self._away(f"{answer.status} {answer.data[:200]!r}") from None
        if "error" in result:
            raise self._away(result["error"])
        return result["series"][0]["values"] if "series" in result else []

    def _away(self, error: object) -> Retry:
        words = f"{error.status} {_reason(error)}" if isinstance(error, ApiException) else str(error)
        return Retry(
            f"InfluxDB at {self._url}: {words}; check that it runs, bucket {self._bucket!r} and {TOKEN_VARIABLE}"
        )


def lines(rows: Rows) -> Iterator[bytes]:
    """Line protocol, one line per row; a reading without a value has no count."""
    key = rows.key
    table = rows.table
    start = f"{table.measurement},meter={key.meter},quantity={key.quantity},site={key.site} "
    # One pattern a call, filled per row: the tags of a series are the same in every line.
    full = _pattern(start, table.fields)
    bare = _pattern(start, [name for name in table.fields if name != "count"])
    without = ~has_value(rows.columns[QUALITY_COLUMN]) if table is Table.READING else np.zeros(rows.columns.shape[1])
    for row, lacks in zip(rows.columns.T.tolist(), without.tolist(), strict=True):
        time_ms, *values = row
        if lacks:
            del values[NO_VALUE_COLUMN - 1]
            yield (bare % (*values, time_ms)).encode()
        else:
            yield (full % (*values, time_ms)).encode()


def _pattern(start: str, fields: Sequence[str]) -> str:
    return start + ",".join(f"{name}=%di" for name in fields) + " %d"


def _columns(table: Table, rows: list[list[Any]]) -> Int64:
    # (columns, N). Only a count can be null, and only where `quality` says so; other nulls were refused before.
    columns = np.array([[value or 0 for value in column] for column in zip(*rows, strict=True)], np.int64)
    if table is Table.READING:
        columns[NO_VALUE_COLUMN] *= has_value(columns[QUALITY_COLUMN])
    return columns


def _reason(error: ApiException) -> str:
    body = error.body if isinstance(error.body, str) else str(error.reason)
    return body.strip()[:300]
