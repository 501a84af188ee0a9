//! Against the crate `cvss` 3.0, another implementation of both standards. It scores in doubles and adds a millionth before
//! it rounds, which gives the exact score for every vector tried here. It differs in what it reads: it takes v4.0
//! metrics in any order and in lower case, and counts a metric that is `X` towards the nomenclature.

use super::*;
use proptest::prelude::*;
use sealwright_core::error::Code;

const BASE: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";

fn v40(text: &str) -> Result<Vector, VectorError> {
    Vector::parse(Standard::V40, text)
}

/// Any vector of a standard: each metric that may be left out is `X`, left out or another value.
fn any_vector(standard: Standard) -> impl Strategy<Value = String> {
    let count = standard.metrics().len();
    prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), count).prop_map(
        move |picks| {
            let fields = standard.metrics().iter().zip(picks);
            let fields = fields.filter_map(|(metric, (pick, is_left_out))| {
                let value = metric.values[pick.index(metric.values.len())];
                let may_be_left_out = metric.values[0] == "X";
                (!(may_be_left_out && is_left_out)).then(|| format!("{}:{value}", metric.name))
            });
            format!(
                "{}{}",
                standard.prefix(),
                fields.collect::<Vec<_>>().join("/")
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_crate_cvss_comes_to_the_same_v40_score(text in any_vector(Standard::V40)) {
        let ours = score_v40(&v40(&text).unwrap());
        let theirs: cvss::v4::Vector = text.parse().unwrap();
        prop_assert_eq!(ours.score.to_string(), format!("{:.1}", theirs.score().value()));
    }

    #[test]
    fn the_crate_cvss_comes_to_the_same_v31_base_score(text in any_vector(Standard::V31)) {
        let vector = Vector::parse(Standard::V31, &text).unwrap();
        let base: Vec<_> = text.split('/').take(9).collect();
        let theirs: cvss::v3::Vector = base.join("/").parse().unwrap();
        prop_assert_eq!(score_v31(&vector).base.to_string(), format!("{:.1}", theirs.score().value()));
    }

    #[test]
    fn a_vector_is_written_as_it_is_read_without_what_is_not_defined(text in any_vector(Standard::V40)) {
        let vector = v40(&text).unwrap();
        let written = vector.to_string();
        prop_assert!(!written.contains(":X"));
        prop_assert_eq!(v40(&written), Ok(vector));
    }

    #[test]
    fn every_v31_vector_converts_to_a_score_within_its_range(text in any_vector(Standard::V31)) {
        let conversion = convert(&Vector::parse(Standard::V31, &text).unwrap()).unwrap();
        let (low, high) = conversion.range;
        prop_assert!(low <= conversion.score && conversion.score <= high);
        prop_assert_eq!(v40(&conversion.vector.to_string()), Ok(conversion.vector));
    }

    #[test]
    fn whatever_arrives_is_answered_without_a_panic(text in "(CVSS:4.0/)?[A-Za-z:/.0-9]{0,40}") {
        let _ = v40(&text);
        let _ = Vector::parse(Standard::V31, &text);
    }
}

#[test]
fn a_score_of_x_x5_is_rounded_up() {
    // In doubles 5.65 is a little less than that, and FIRST's calculator makes 5.6 of it.
    for metrics in [
        "AV:N/AC:H/AT:N/PR:H/UI:A/VC:L/VI:N/VA:H/SC:L/SI:N/SA:N",
        "AV:L/AC:L/AT:P/PR:N/UI:A/VC:L/VI:N/VA:H/SC:L/SI:N/SA:N",
    ] {
        let vector = v40(&format!("CVSS:4.0/{metrics}")).unwrap();
        assert_eq!(score_v40(&vector).score.to_string(), "5.7");
    }
}

#[test]
fn a_score_is_printed_with_one_decimal_and_is_the_shortest_number_in_json() {
    for (tenths, text, json) in [(70, "7.0", "7"), (93, "9.3", "9.3"), (0, "0.0", "0")] {
        let score = Score::of_tenths(tenths);
        assert_eq!(score.to_string(), text);
        assert_eq!(serde_json::to_string(&score).unwrap(), json);
    }
}

#[test]
fn supplemental_metrics_and_x_change_neither_score_nor_nomenclature() {
    let plain = score_v40(&v40(BASE).unwrap());
    let with = score_v40(&v40(&format!("{BASE}/E:X/CR:X/MAV:X/AU:Y/U:Red")).unwrap());
    assert_eq!(plain, with);
    assert_eq!(plain.nomenclature, Nomenclature::B);
    let all = score_v40(&v40(&format!("{BASE}/E:P/MSI:S")).unwrap());
    assert_eq!(all.nomenclature, Nomenclature::BTE);
}

#[test]
fn the_groups_of_a_change_are_those_whose_metrics_differ() {
    let old = v40(&format!("{BASE}/E:P")).unwrap();
    let new = v40(&format!("{BASE}/E:A/CR:H/AU:N")).unwrap();
    let changed: Vec<_> = new.changed_groups(&old).into_iter().collect();
    assert_eq!(
        changed,
        [Group::Threat, Group::Environmental, Group::Supplemental]
    );
    assert!(old.changed_groups(&old).is_empty());
}

#[test]
fn each_fault_of_a_vector_has_a_code_of_its_own() {
    let swapped = BASE.replace("AV:N/AC:L", "AC:L/AV:N");
    let lower = BASE.replace("AV:N", "AV:n");
    let lower_name = BASE.replace("AV:N", "av:N");
    let long = format!("{BASE}/{}", "E:X/".repeat(200));
    for (text, expected) in [
        (swapped.as_str(), Code::CvssMetricOrder),
        (&lower, Code::CvssCase),
        (&lower_name, Code::CvssCase),
        (&format!("{BASE}/U:red"), Code::CvssCase),
        (&format!("{BASE}/ZZ:N"), Code::CvssUnknownMetric),
        (&BASE.replace("UI:N", "UI:R"), Code::CvssUnknownValue),
        (&BASE.replace("SI:N", "SI:S"), Code::CvssUnknownValue),
        (&format!("{BASE}/E:A/E:A"), Code::CvssMetricRepeated),
        (&BASE.replace("/SA:N", ""), Code::CvssMetricMissing),
        (&format!("{BASE}/"), Code::CvssMalformed),
        (&BASE.replace("4.0", "4.1"), Code::CvssMalformed),
        ("CVSS:4.0/AV", Code::CvssMalformed),
        ("", Code::CvssMalformed),
        (&long, Code::CvssMalformed),
    ] {
        let error = v40(text).unwrap_err();
        assert_eq!(error.code(), expected, "{text}: {error}");
    }
}

#[test]
fn the_crate_cvss_reads_what_the_standard_does_not_write() {
    let read = |text: &str| text.parse::<cvss::v4::Vector>().unwrap();
    let swapped = read(&BASE.replace("AV:N/AC:L", "AC:L/AV:N"));
    assert_eq!(
        swapped,
        read(&BASE.to_ascii_lowercase().replace("cvss", "CVSS"))
    );
    let undefined = read(&format!("{BASE}/E:X"));
    assert_eq!(undefined.nomenclature().to_string(), "CVSS-BT");
    assert_eq!(
        Nomenclature::of(&v40(&format!("{BASE}/E:X")).unwrap()).as_str(),
        "CVSS-B"
    );
}

#[test]
fn v31_metrics_stand_in_any_order() {
    let vector = Vector::parse(
        Standard::V31,
        "CVSS:3.1/S:C/AV:N/AC:L/PR:N/UI:N/C:H/I:H/A:H/MS:U",
    )
    .unwrap();
    let scores = score_v31(&vector);
    assert_eq!(
        (scores.base.to_string(), scores.environmental.to_string()),
        ("10.0".into(), "9.8".into())
    );
}
