"""What requests may ask for, with one meaning everywhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime, BeforeValidator

from compliance.answers import Answers


def _plus_survives(text: object) -> object:
    """An unescaped `+08:00` arrives as ` 08:00`."""
    return text.replace(" ", "+") if isinstance(text, str) else text


def answers_of(request: Request) -> Answers:
    """What this request may read: the application decides by who asks."""
    answers: Answers = request.app.state.answers_of(request)
    return answers


Moment = Annotated[AwareDatetime, BeforeValidator(_plus_survives)]
Reads = Annotated[Answers, Depends(answers_of)]
ValidAt = Annotated[Moment | None, Query(description="What held at this time; RFC 3339 with offset")]
KnownAt = Annotated[Moment | None, Query(description="As it was known at this time; RFC 3339 with offset")]
From = Annotated[Moment | None, Query(alias="from", description="Start of an interval; RFC 3339 with offset")]
To = Annotated[Moment | None, Query(description="End of an interval or window; RFC 3339 with offset")]
RegionPrefix = Annotated[str, Query(pattern=r"^([0-9]{2}|[0-9]{4}|[0-9]{6})?$", description="GB/T 2260 code or prefix")]
After = Annotated[str, Query(max_length=200, description="Value of `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]
