"""The codes that say why a finding is what it is, with their texts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Codes in the order in which they are checked; a code is never reused."""

    OUTSIDE_JURISDICTION = "outside_jurisdiction"
    NOT_EFFECTIVE = "not_effective"
    RULE_FOR_GROUPS = "rule_for_groups"
    BUILD_NOT_COVERED = "build_not_covered"
    STAGE_NOT_COVERED = "stage_not_covered"
    SCALE_NOT_COVERED = "scale_not_covered"
    HUB_NOT_COVERED = "hub_not_covered"
    IT_POWER_NOT_COVERED = "it_power_not_covered"
    ANNUAL_ENERGY_NOT_COVERED = "annual_energy_not_covered"
    APPROVAL_DATE_NOT_COVERED = "approval_date_not_covered"
    COMMISSIONING_DATE_NOT_COVERED = "commissioning_date_not_covered"
    IN_GRACE_PERIOD = "in_grace_period"
    RACKS_UNKNOWN = "racks_unknown"
    HUB_UNKNOWN = "hub_unknown"
    IT_POWER_UNKNOWN = "it_power_unknown"
    ANNUAL_ENERGY_UNKNOWN = "annual_energy_unknown"
    APPROVAL_DATE_UNKNOWN = "approval_date_unknown"
    COMMISSIONING_DATE_UNKNOWN = "commissioning_date_unknown"
    RULE_IS_DRAFT = "rule_is_draft"
    TARGET_EXPIRED = "target_expired"
    RULE_IS_VOLUNTARY = "rule_is_voluntary"
    TEXT_NOT_VERIFIED = "text_not_verified"
    PERIOD_NOT_SET = "period_not_set"
    CUTOFF_NOT_SET = "cutoff_not_set"
    THRESHOLD_ASSUMED = "threshold_assumed"
    DECISION_NOT_SET = "decision_not_set"
    IN_TRANSITION = "in_transition"
    RECLASSIFIED_IN_PERIOD = "reclassified_in_period"
    NO_ENERGY_DATA = "no_energy_data"
    NOT_IN_OPERATION = "not_in_operation"
    WINDOW_INCOMPLETE = "window_incomplete"
    REQUIRED_METER_MISSING = "required_meter_missing"
    COVERAGE_BELOW_GATE = "coverage_below_gate"
    ESTIMATED_ABOVE_GATE = "estimated_above_gate"
    LIMIT_REFUTED = "limit_refuted"
    ACCURACY_CLASS_UNKNOWN = "accuracy_class_unknown"
    CALIBRATION_UNKNOWN = "calibration_unknown"
    CALIBRATION_EXPIRED = "calibration_expired"
    CLOCK_UNSYNCHRONISED = "clock_unsynchronised"
    BOUNDS_FROM_OTHER_METERS = "bounds_from_other_meters"
    NO_IT_ENERGY = "no_it_energy"
    NO_IT_LOAD = "no_it_load"
    IT_LOAD_TOO_LOW = "it_load_too_low"
    PUE_BELOW_ONE = "pue_below_one"
    BALANCE_BROKEN = "balance_broken"
    PUE_WITHIN_LIMIT = "pue_within_limit"
    PUE_OVER_LIMIT = "pue_over_limit"
    BOUND_BREAKS_LIMIT = "bound_breaks_limit"
    BOUNDS_SPAN_LIMIT = "bounds_span_limit"
    WITHIN_GUARD_BAND = "within_guard_band"
    UNCERTAINTY_UNKNOWN = "uncertainty_unknown"
    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_VALIDITY_UNKNOWN = "certificate_validity_unknown"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_VALID = "certificate_valid"
    GRADE_TOO_LOW = "grade_too_low"
    INSIDE_HUB = "inside_hub"
    OUTSIDE_HUB = "outside_hub"
    EXCEPTION_RECORDED = "exception_recorded"
    INCENTIVES_UNKNOWN = "incentives_unknown"
    INCENTIVE_RECORDED = "incentive_recorded"
    NO_INCENTIVE_RECORDED = "no_incentive_recorded"


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a code means, for people."""

    zh: str
    en: str


REASONS: dict[str, ReasonText] = {
    Reason.OUTSIDE_JURISDICTION: ReasonText(
        "设施不在规则的适用地区", "the facility lies outside the rule's jurisdiction"
    ),
    Reason.NOT_EFFECTIVE: ReasonText("规则在该日不生效", "the rule has no effect on that day"),
    Reason.RULE_FOR_GROUPS: ReasonText(
        "规则针对区域平均值，不针对单个设施", "the rule is about an average of many facilities"
    ),
    Reason.BUILD_NOT_COVERED: ReasonText("建设性质不在规则范围内", "the rule is not about this kind of build"),
    Reason.STAGE_NOT_COVERED: ReasonText("项目阶段不在规则范围内", "the rule is not about this project stage"),
    Reason.SCALE_NOT_COVERED: ReasonText("规模不在规则范围内", "the rule is not about this scale class"),
    Reason.HUB_NOT_COVERED: ReasonText(
        "枢纽集群位置不在规则范围内", "the rule is not about this position relative to hub clusters"
    ),
    Reason.IT_POWER_NOT_COVERED: ReasonText("IT功率低于规则的下限", "IT power is below the rule's threshold"),
    Reason.ANNUAL_ENERGY_NOT_COVERED: ReasonText(
        "年用电量低于规则的下限", "annual energy is below the rule's threshold"
    ),
    Reason.APPROVAL_DATE_NOT_COVERED: ReasonText("批准日期不在规则范围内", "the rule is not about this approval date"),
    Reason.COMMISSIONING_DATE_NOT_COVERED: ReasonText(
        "投产日期不在规则范围内", "the rule is not about this commissioning date"
    ),
    Reason.IN_GRACE_PERIOD: ReasonText(
        "尚在投产后的宽限期内", "still within the rule's grace period after commissioning"
    ),
    Reason.RACKS_UNKNOWN: ReasonText("标准机架数未登记", "the number of standard racks is not registered"),
    Reason.HUB_UNKNOWN: ReasonText("是否位于枢纽集群未登记", "position relative to hub clusters is not registered"),
    Reason.IT_POWER_UNKNOWN: ReasonText("IT功率未登记", "IT power is not registered"),
    Reason.ANNUAL_ENERGY_UNKNOWN: ReasonText("年用电量未登记", "annual energy is not registered"),
    Reason.APPROVAL_DATE_UNKNOWN: ReasonText("批准日期未登记", "the approval date is not registered"),
    Reason.COMMISSIONING_DATE_UNKNOWN: ReasonText("投产日期未登记", "the commissioning date is not registered"),
    Reason.RULE_IS_DRAFT: ReasonText("规则为征求意见稿，尚无约束力", "the rule is a draft and does not bind"),
    Reason.TARGET_EXPIRED: ReasonText("规则的目标期限已过", "the rule's target date has passed"),
    Reason.RULE_IS_VOLUNTARY: ReasonText("规则为自愿性", "the rule is voluntary"),
    Reason.TEXT_NOT_VERIFIED: ReasonText("规则原文未经核对", "the rule's text was not read in the original"),
    Reason.PERIOD_NOT_SET: ReasonText("文件未规定PUE的统计期", "the text sets no period for PUE"),
    Reason.CUTOFF_NOT_SET: ReasonText(
        "文件未规定“新建”的起算日期", "the text sets no day since which a facility is new"
    ),
    Reason.THRESHOLD_ASSUMED: ReasonText(
        "文件未规定“大型”的标准机架数，按通行口径假定",
        "the text sets no number of racks for its scale classes: the common scale is assumed",
    ),
    Reason.DECISION_NOT_SET: ReasonText(
        "文件未规定判定规则（简单或带保护带）", "the text sets no decision rule (simple or guarded)"
    ),
    Reason.IN_TRANSITION: ReasonText("项目在过渡期内", "the project is in its transition period"),
    Reason.RECLASSIFIED_IN_PERIOD: ReasonText(
        "统计期内登记信息变更影响规则适用，按期末登记判定",
        "facts changed within the period so that the rule applies otherwise; judged by those of the closing day",
    ),
    Reason.NO_ENERGY_DATA: ReasonText("该统计期没有电能数据", "there is no energy data for the period"),
    Reason.NOT_IN_OPERATION: ReasonText("项目尚未投入运行", "the facility is not in operation yet"),
    Reason.WINDOW_INCOMPLETE: ReasonText(
        "统计期不完整：设施运行不足一个统计期", "the period is not complete: the facility has not run that long"
    ),
    Reason.REQUIRED_METER_MISSING: ReasonText("必备电表有缺失的电能", "energy of a required meter is missing"),
    Reason.COVERAGE_BELOW_GATE: ReasonText("数据覆盖率低于要求", "coverage is below what the rule needs"),
    Reason.ESTIMATED_ABOVE_GATE: ReasonText(
        "估算或积分电能占比过高", "too much of the energy is estimated or integrated from power"
    ),
    Reason.LIMIT_REFUTED: ReasonText(
        "电量增长超过电表登记的最大功率，该登记值不可信",
        "energy rose faster than the meter's registered maximum power, which is therefore not believed",
    ),
    Reason.ACCURACY_CLASS_UNKNOWN: ReasonText(
        "电表或互感器准确度等级未登记，按最宽等级计算",
        "an accuracy class of the meter or its transformers is not registered: the widest is taken",
    ),
    Reason.CALIBRATION_UNKNOWN: ReasonText("电表检定证书未登记", "the meter has no calibration certificate on file"),
    Reason.CALIBRATION_EXPIRED: ReasonText(
        "电表检定证书在统计期内已失效", "the meter's calibration certificate did not hold for the whole period"
    ),
    Reason.CLOCK_UNSYNCHRONISED: ReasonText(
        "读数所用时钟未同步", "the clock behind the meter's readings was not synchronised"
    ),
    Reason.BOUNDS_FROM_OTHER_METERS: ReasonText(
        "电表缺失的电能以上下级电表界定，已按准确度等级放宽",
        "the meter's missing energy is bounded by parent and child meters, widened by their accuracy classes",
    ),
    Reason.NO_IT_ENERGY: ReasonText("没有IT电能，PUE无定义", "there is no IT energy, so no PUE"),
    Reason.NO_IT_LOAD: ReasonText(
        "部分日期IT负荷过低，当日比值无意义",
        "on some days IT load is too low for a ratio to mean anything",
    ),
    Reason.IT_LOAD_TOO_LOW: ReasonText("IT负荷过低，比值无意义", "IT load is too low for a ratio to mean anything"),
    Reason.PUE_BELOW_ONE: ReasonText(
        "PUE低于1且超出不确定度，计量有误", "PUE is below 1 beyond its uncertainty: the metering is wrong"
    ),
    Reason.BALANCE_BROKEN: ReasonText(
        "上下级电表不平衡，超出准确度", "parent and child meters disagree beyond their accuracy"
    ),
    Reason.PUE_WITHIN_LIMIT: ReasonText("PUE上界在限值以内", "the upper bound of PUE is within the limit"),
    Reason.PUE_OVER_LIMIT: ReasonText("PUE下界超过限值", "the lower bound of PUE breaks the limit"),
    Reason.BOUND_BREAKS_LIMIT: ReasonText(
        "数据虽有缺陷，对企业最有利的下界仍超过限值",
        "the data have defects, yet even the bound most favourable to the operator breaks the limit",
    ),
    Reason.BOUNDS_SPAN_LIMIT: ReasonText("PUE上下界跨越限值", "the bounds of PUE lie on both sides of the limit"),
    Reason.WITHIN_GUARD_BAND: ReasonText(
        "PUE与限值之差小于测量不确定度的保护带", "PUE is closer to the limit than the guard band of its uncertainty"
    ),
    Reason.UNCERTAINTY_UNKNOWN: ReasonText(
        "不确定度未知：电表或互感器准确度等级未登记", "uncertainty unknown: an accuracy class is not registered"
    ),
    Reason.CERTIFICATE_MISSING: ReasonText("没有绿色低碳等级证书", "there is no certificate of the green grade"),
    Reason.CERTIFICATE_VALIDITY_UNKNOWN: ReasonText("证书有效期未登记", "the certificate's validity is not registered"),
    Reason.CERTIFICATE_EXPIRED: ReasonText("证书已过有效期", "the certificate has expired"),
    Reason.CERTIFICATE_VALID: ReasonText("证书有效且等级达到要求", "the certificate is valid and the grade suffices"),
    Reason.GRADE_TOO_LOW: ReasonText("绿色低碳等级低于要求", "the green grade is lower than required"),
    Reason.INSIDE_HUB: ReasonText("位于国家枢纽节点数据中心集群内", "inside a national hub cluster"),
    Reason.OUTSIDE_HUB: ReasonText("位于国家枢纽节点数据中心集群之外", "outside the national hub clusters"),
    Reason.EXCEPTION_RECORDED: ReasonText("例外理由已记录", "the reason for the exception is on record"),
    Reason.INCENTIVES_UNKNOWN: ReasonText(
        "优惠政策情况未核查登记", "whether favours were granted has not been surveyed"
    ),
    Reason.INCENTIVE_RECORDED: ReasonText("存在优惠政策记录", "a favour is on record"),
    Reason.NO_INCENTIVE_RECORDED: ReasonText("没有优惠政策记录", "no favour is on record"),
}


def reason_text(code: str) -> ReasonText:
    """Texts of a code, with what follows a colon behind them; one this version does not know is shown as it is."""
    name, _, detail = code.partition(":")
    text = REASONS.get(name)
    if text is None:
        return ReasonText(code, code)
    return ReasonText(f"{text.zh}：{detail}", f"{text.en}: {detail}") if detail else text
