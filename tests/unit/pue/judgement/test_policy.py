"""Rules are data: what a profile file may say, and what the shipped ones say."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from fractions import Fraction
from importlib import resources

import pytest

from pue.contract.canonical import sha256_hex
from pue.contract.errors import Fatal
from pue.judgement.policy import Kind, Profile, Rule, Status, builtin_profiles, load_profile, parse_profile

QUOTE = "PUE不高于1.3"
HEADER = 'id = "p"\nversion = 1\nzh = "甲"\nen = "A"\n'
RULE = f"""
[[rule]]
id = "r"
zh = "规则"
en = "rule"
jurisdiction = "53"
status = "in_force"
kind = "limit"
comparator = "<="
limit = "1.3"
period = "ttm"
period_source = "text"
consequence = "none"
[rule.citation]
document = "文件"
quote = "{QUOTE}"
quote_sha256 = "{sha256_hex(QUOTE.encode())}"
source = "original"
"""


def one(text: str = RULE) -> Rule:
    return parse_profile(HEADER + text, "p.toml").rules[0]


def refused(text: str) -> str:
    with pytest.raises(Fatal) as error:
        parse_profile(text, "p.toml")
    return str(error.value)


def test_a_rule_reads_as_written_and_its_limit_is_exact() -> None:
    rule = one()
    assert (rule.profile, rule.id, rule.kind, rule.status) == ("p", "r", Kind.LIMIT, Status.IN_FORCE)
    assert rule.limit == Fraction(13, 10)


def test_a_threshold_is_assumed_unless_the_profile_says_that_the_text_sets_it() -> None:
    scaled = RULE.replace("[rule.citation]", '[rule.applies_to]\nscale = ["large"]\n[rule.citation]')
    stated = parse_profile(HEADER + 'scale_source = "text"\n' + scaled, "p.toml").rules[0]
    assert one(scaled).assumes_threshold
    assert not stated.assumes_threshold
    assert not one().assumes_threshold, "it asks for no scale"
    assert stated.version != one(scaled).version


def test_a_rule_names_the_marks_it_refuses_to_be_judged_on() -> None:
    assert one().gates.refuses == ("limit_refuted",)
    gates = '[rule.gates]\nrefuses = ["limit_refuted", "calibration_expired"]\n[rule.citation]'
    assert one(RULE.replace("[rule.citation]", gates)).gates.refuses == ("limit_refuted", "calibration_expired")
    message = refused(HEADER + RULE.replace("[rule.citation]", gates.replace("limit_refuted", "not_liked")))
    assert "rule[0].gates.refuses[0]" in message


def test_a_profile_reads_as_written() -> None:
    profile = parse_profile(HEADER + "[scale]\nlarge = 2000\n" + RULE, "p.toml")
    assert (profile.id, profile.version, profile.zh, profile.en) == ("p", 1, "甲", "A")
    assert (profile.scale.large, profile.scale.very_large) == (2_000, 10_000)


def test_not_above_is_inclusive_and_over_is_strict() -> None:
    limit, duty = one(), one(RULE.replace('"limit"', '"duty"').replace('"<="', '">"').replace("1.3", "1.5", 1))
    assert limit.within(Fraction("1.3"))
    assert not limit.within(Fraction("1.3004"))
    assert duty.within(Fraction("1.5"))
    assert not duty.within(Fraction("1.5004"))


def test_below_is_strict_and_at_least_makes_a_duty_at_the_limit() -> None:
    below = one(RULE.replace('"<="', '"<"'))
    at_least = one(RULE.replace('"limit"', '"duty"').replace('"<="', '">="'))
    for rule in (below, at_least):
        assert not rule.within(Fraction("1.3"))
        assert rule.within(Fraction("1.2999999"))


def test_the_version_pins_the_content_of_the_rule() -> None:
    assert one().version == one().version
    assert one().version.startswith("1-")
    assert one(RULE.replace('limit = "1.3"', 'limit = "1.31"')).version != one().version
    scaled = parse_profile(HEADER + "[scale]\nlarge = 2000\n" + RULE, "p.toml").rules[0]
    assert scaled.version != one().version


def test_the_version_is_the_profiles_number_and_a_hash_of_all_the_rule_says() -> None:
    """Hashed here from the rule as it was written, by nothing but the standard library."""
    nothing = ["min_grade", "effective_from", "effective_to"]
    no_bounds = [f"{what}_{end}" for what in ("approved", "commissioned") for end in ("from", "before")]
    content = dict.fromkeys(nothing) | {
        "id": "r",
        "zh": "规则",
        "en": "rule",
        "jurisdiction": "53",
        "status": "in_force",
        "kind": "limit",
        "strength": "hard",
        "subject": "facility",
        "applies_to": dict.fromkeys([*no_bounds, "min_it_power_kw", "min_annual_kwh"])
        | {"build": [], "stage": [], "scale": [], "hub": "any", "grace_years": 0},
        "comparator": "<=",
        "limit": "1.3",
        "period": "ttm",
        "period_source": "text",
        "decision": "guarded",
        "decision_source": "assumed",
        "gates": {
            "min_coverage": "0.96",
            "max_estimated": "0.05",
            "min_it_load": "0.01",
            "refuses": ["limit_refuted"],
        },
        "consequence": "none",
        "note": "",
        "citation": {
            "document": "文件",
            "number": "",
            "clause": "",
            "quote": QUOTE,
            "quote_sha256": hashlib.sha256(QUOTE.encode()).hexdigest(),
            "url": "",
            "source": "original",
        },
        "scale": {"large": 3_000, "very_large": 10_000},
        "scale_source": "assumed",
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert one().version == f"1-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def test_unknown_keys_are_refused_by_line() -> None:
    message = refused(HEADER + RULE.replace("consequence", "limitt = 1\nconsequence"))
    assert "p.toml:17" in message
    assert "rule[0].limitt: unknown key" in message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('comparator = "<="\n', "", "needs comparator"),
        ('"<="', '">"', "does not fit kind limit; use <= or <"),
        ('"limit"\n', '"siting"\n', "has no comparator, limit or period"),
        ('kind = "limit"', 'kind = "limit"\nmin_grade = "4A"', "min_grade belongs to"),
        ('limit = "1.3"', 'limit = "1,3"', "limit"),
        ('limit = "1.3"', "limit = 1.3", "limit"),
        ('jurisdiction = "53"', 'jurisdiction = "yunnan"', "jurisdiction"),
        (QUOTE, "PUE不高于1.2", "compare it with the document"),
        ('"original"', '"unread"', "a quote belongs to every source"),
        ('period = "ttm"', 'period = "30d"', "period"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(old: str, new: str, says: str) -> None:
    assert says in refused(HEADER + RULE.replace(old, new, 1))


def test_an_unread_source_has_no_quote_and_is_not_verified() -> None:
    text = RULE.replace('"original"', '"unread"').replace(f'quote = "{QUOTE}"\n', "")
    rule = one(text)
    assert not rule.citation.is_verified
    assert one().citation.is_verified


def test_ids_are_used_once() -> None:
    assert "'r' is used twice" in refused(HEADER + RULE + RULE)


def test_a_rule_without_limit_cannot_be_asked_about_a_pue() -> None:
    with pytest.raises(Fatal, match="sets no PUE limit"):
        load_profile("yunnan-2022-draft").rule("hub_siting").within(Fraction(1))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(Fatal, match="use one of beijing-2024, cn-national"):
        load_profile("atlantis")
    with pytest.raises(Fatal, match="it has new_build_pue_max, green_grade_min, retrofit"):
        load_profile("yunnan-2022-draft").rule("none")


def test_a_jurisdiction_covers_what_starts_with_its_code() -> None:
    yunnan, national = one(), one(RULE.replace('"53"', '"CN"'))
    german = one(RULE.replace('"53"', '"DE"'))
    assert [rule.covers("530100") for rule in (yunnan, national, german)] == [True, True, False]
    assert [rule.covers("110100") for rule in (yunnan, national, german)] == [False, True, False]
    assert [rule.covers("DE-HE") for rule in (yunnan, national, german)] == [False, False, True]


def test_effective_dates_are_half_open_and_an_expired_target_keeps_being_reported() -> None:
    dated = RULE.replace("consequence", "effective_from = 2026-01-01\neffective_to = 2027-01-01\nconsequence")
    rule, expired = one(dated), one(dated.replace('"in_force"', '"target_expired"'))
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 12, 31), date(2027, 1, 1)]
    assert [rule.is_effective(day) for day in days] == [False, True, True, False]
    assert [expired.is_effective(day) for day in days] == [False, True, True, True]
    assert one().is_effective(date(1990, 1, 1))


def test_scale_classes_begin_at_their_number_of_standard_racks() -> None:
    scale = one().scale
    assert [scale.of(racks) for racks in (0, 2_999, 3_000, 9_999, 10_000)] == [
        "small_medium",
        "small_medium",
        "large",
        "large",
        "very_large",
    ]


def test_a_rule_about_new_facilities_without_a_date_lacks_a_cutoff() -> None:
    def lacks(predicate: str) -> bool:
        text = RULE.replace("[rule.citation]", f"[rule.applies_to]\n{predicate}\n[rule.citation]")
        return one(text).applies_to.lacks_cutoff

    assert lacks('build = ["new"]')
    assert lacks('build = ["expansion"]')
    assert not lacks('build = ["new"]\napproved_from = 2022-01-01')
    assert not lacks('build = ["new"]\ncommissioned_from = 2022-01-01')
    assert not lacks('build = ["existing"]')


BANDS = """
[[classification]]
id = "c"
zh = "等级"
en = "grade"
source = "text"
bands = [{ id = "a", zh = "一", en = "1", up_to = "1.2" }, { id = "b", zh = "二", en = "2" }]
[classification.citation]
document = "文件"
source = "unread"
"""


@pytest.mark.parametrize(
    "bands",
    [
        '[{ id = "a", zh = "一", en = "1", up_to = "1.2" }, { id = "b", zh = "二", en = "2", up_to = "1.3" }]',
        '[{ id = "a", zh = "一", en = "1" }, { id = "b", zh = "二", en = "2" }]',
        '[{ id = "a", zh = "一", en = "1", up_to = "1.3" }, { id = "b", zh = "二", en = "2", up_to = "1.3" },'
        ' { id = "c", zh = "三", en = "3" }]',
    ],
)
def test_bands_that_do_not_ascend_are_refused(bands: str) -> None:
    start = BANDS.index("bands = ")
    end = BANDS.index("\n", start)
    assert "bands ascend by up_to" in refused(HEADER + BANDS[:start] + f"bands = {bands}" + BANDS[end:])


@pytest.mark.parametrize("name", builtin_profiles())
def test_every_shipped_profile_loads_and_is_named_after_its_file(name: str) -> None:
    profile = load_profile(name)
    assert profile.id == name
    assert profile.rules


def yunnan() -> Profile:
    return load_profile("yunnan-2022-draft")


def test_every_quote_of_the_yunnan_draft_stands_once_in_the_text_beside_it() -> None:
    text = (resources.files("pue") / "policies" / "yunnan-2022-draft.txt").read_text("utf-8")
    quotes = {rule.citation.quote for rule in yunnan().rules} | {c.citation.quote for c in yunnan().classifications}
    assert [text.count(quote) for quote in quotes] == [1] * len(quotes)
    assert len(quotes) == 5


def test_the_yunnan_draft_says_what_the_text_says_and_marks_what_it_does_not() -> None:
    rules = {rule.id: rule for rule in yunnan().rules}
    assert list(rules) == [
        "new_build_pue_max",
        "green_grade_min",
        "retrofit_pue_over",
        "hub_siting",
        "no_preferential_policy",
    ]
    assert {rule.status for rule in rules.values()} == {Status.DRAFT}
    new, retrofit = rules["new_build_pue_max"], rules["retrofit_pue_over"]
    assert (new.comparator, new.limit, new.period_source) == ("<=", Fraction("1.3"), "assumed")
    assert (retrofit.comparator, retrofit.limit, retrofit.kind) == (">", Fraction("1.5"), Kind.DUTY)
    assert (rules["hub_siting"].strength, rules["no_preferential_policy"].strength) == ("soft", "hard")
    assert rules["green_grade_min"].min_grade == "4A"
    assert (new.scale_source, new.assumes_threshold, retrofit.assumes_threshold) == ("assumed", True, False)
    assert yunnan().change_reports_due == ("01-15", "07-15")
    assert yunnan().retrofit_max_years == 3


def test_the_efficiency_bands_are_marked_as_inferred() -> None:
    bands = yunnan().classifications[0]
    assert bands.source == "inferred"
    assert [(band.id, band.up_to) for band in bands.bands] == [
        ("at_benchmark", "1.3"),
        ("between", "1.5"),
        ("below_baseline", None),
    ]


def test_gb_40879_has_three_grades_and_what_is_above() -> None:
    grades = load_profile("cn-national").classifications[0]
    assert [band.up_to for band in grades.bands] == ["1.20", "1.30", "1.50", None]
