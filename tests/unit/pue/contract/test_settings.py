"""Configuration errors name file, line and field."""

from __future__ import annotations

import pytest
from pydantic import field_validator, model_validator

from pue.contract.errors import Fatal
from pue.contract.settings import Settings, parse


class Link(Settings):
    host: str
    port: int = 502

    @field_validator("host")
    @classmethod
    def named(cls, host: str) -> str:
        if host == "?":
            raise ValueError("host '?' has no name; write an address")
        return host


class Meter(Settings):
    id: str
    link: Link | None = None


class Site(Settings):
    name: str
    mqtt: Link | None = None
    meter: tuple[Meter, ...] = ()


GOOD = """\
name = "km01"
[mqtt]
host = "127.0.0.1"
[[meter]]
id = "a"   # the first
[[meter]]
id = "b"
[meter.link]
host = "h"
port = 1
"""


def message(text: str) -> str:
    with pytest.raises(Fatal) as caught:
        parse(text, Site, "site.toml")
    return str(caught.value)


def test_good_text_becomes_frozen_settings() -> None:
    site = parse(GOOD, Site, "site.toml")
    assert site.meter[1].link == Link(host="h", port=1)


def test_unknown_key_is_named_with_its_line() -> None:
    assert message(GOOD.replace("port = 1", "prot = 1")) == (
        "site.toml:10 meter[1].link.prot: unknown key; remove it or correct its spelling"
    )


def test_wrong_value_is_named_with_its_line() -> None:
    assert "site.toml:10 meter[1].link.port" in message(GOOD.replace("port = 1", "port = 'x'"))
    assert "(it is 'x')" in message(GOOD.replace("port = 1", "port = 'x'"))


def test_missing_key_is_named_at_its_table() -> None:
    assert message(GOOD.replace('id = "b"', "")) == "site.toml:6 meter[1].id: missing; add it"


def test_missing_at_the_top_is_named_at_line_1() -> None:
    assert message("") == "site.toml:1 name: missing; add it"


def test_table_where_a_value_belongs_is_named() -> None:
    assert message("name = 'x'\n\n# why\n[mqtt]\nhost = { a = 1 }\n").startswith("site.toml:5 mqtt.host: ")


def test_whole_document_of_a_wrong_shape_has_a_line_too() -> None:
    assert message('name = "x"\nmeter = 3\n').startswith("site.toml:2 meter: ")


def test_all_errors_are_told_at_once_a_line_each() -> None:
    assert message(GOOD.replace('name = "km01"', "nmae = 1").replace("port = 1", "prot = 1")).splitlines() == [
        "site.toml:1 name: missing; add it",
        "site.toml:10 meter[1].link.prot: unknown key; remove it or correct its spelling",
        "site.toml:1 nmae: unknown key; remove it or correct its spelling",
    ]


@pytest.mark.parametrize("entry", ["X = 1", "[X]", '["X"]', '"X" = 1'])
def test_a_name_is_told_letter_by_letter(entry: str) -> None:
    text = f'name = "x"\n\n{entry}\n'
    assert message(text) == "site.toml:3 X: unknown key; remove it or correct its spelling"


def test_broken_toml_is_told_with_the_line() -> None:
    assert "site.toml: not TOML" in message("name = ")


def test_our_own_words_stand_without_a_prefix() -> None:
    text = message(GOOD.replace('host = "127.0.0.1"', 'host = "?"'))
    assert text == "site.toml:3 mqtt.host: host '?' has no name; write an address (it is '?')"


def test_quoted_and_spaced_names_are_found_too() -> None:
    assert message('name = "x"\n[ mqtt ]\n"host" = 3\n').startswith("site.toml:3 mqtt.host: ")
    assert message('name = "x"\n["mqtt"]\nhost = 3\n').startswith("site.toml:3 mqtt.host: ")


def test_rule_over_the_whole_document_names_the_document() -> None:
    class Never(Site):
        @model_validator(mode="after")
        def refuse(self) -> Never:
            raise ValueError("two of these cannot stand together")

    with pytest.raises(Fatal, match=r"^site.toml:1 document: two of these cannot stand together$"):
        parse(GOOD, Never, "site.toml")
