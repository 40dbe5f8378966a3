//! The grammar: what it takes, what it refuses and why.

use super::*;
use proptest::prelude::*;

fn any_layout() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Concat),
        Just(Layout::Contiguous),
        (1_usize..300).prop_map(|block_len| Layout::Paged { block_len })
    ]
}
fn any_format() -> impl Strategy<Value = Format> {
    prop_oneof![
        prop::sample::select(vec![
            Format::F32,
            Format::F16,
            Format::Bf16,
            Format::F8,
            Format::Int8,
            Format::Q8_0,
            Format::Q4_0,
            Format::Int4
        ]),
        (prop::sample::select(vec![2_u8, 4, 8]), 0_usize..200)
            .prop_map(|(bits, residual)| Format::Kivi { bits, residual }),
        prop::sample::select(vec![2_u8, 3, 4]).prop_map(|bits| Format::Kvq { bits }),
    ]
}
fn any_retention() -> impl Strategy<Value = Retention> {
    prop_oneof![
        Just(Retention::All),
        (0_usize..9, 1_usize..999).prop_map(|(sinks, recent)| Retention::Window { sinks, recent }),
        (0_usize..9, 1_usize..999).prop_map(|(heavy, recent)| Retention::H2o { heavy, recent }),
        (0_usize..9, 1_usize..999).prop_map(|(heavy, recent)| Retention::H2oMean { heavy, recent }),
    ]
}

proptest! {
    #[test]
    fn display_parses_back(layout in any_layout(), format in any_format(), rotate: bool, retention in any_retention()) {
        let spec = CacheSpec { layout, format, rotate, retention };
        prop_assume!(spec.check_meaning().is_ok());
        prop_assert_eq!(spec.to_string().parse::<Lane>(), Ok(Lane::Cache(spec)));
    }

    #[test]
    fn parts_come_in_any_order(layout in any_layout(), format in any_format(), retention in any_retention()) {
        let spec = CacheSpec { layout, format, rotate: true, retention };
        prop_assume!(spec.check_meaning().is_ok());
        prop_assert_eq!(format!("{layout}+{retention}+rot+{format}").parse(), Ok(spec));
    }

    #[test]
    fn never_panics(text in "[a-z0-9:+/, ]{0,24}") {
        let _ = parse_lanes(&text);
    }
}

fn refusal(text: &str) -> String {
    parse_lanes(text).expect_err(text).to_string()
}

#[test]
fn refusals_say_why() {
    assert!(refusal("").contains("empty lane"));
    assert!(refusal("none,").contains("empty lane"));
    assert!(refusal("pagd:16").contains("unknown layout `pagd:16`"));
    assert!(refusal("paged:0").contains("at least 1 token"));
    assert!(refusal("paged:-1").contains("whole number"));
    assert!(refusal("paged:99999999999999999999").contains("too large"));
    assert!(refusal("paged:16+int8+f16").contains("two formats in one lane (`int8` and `f16`)"));
    assert!(refusal("contiguous+int9").contains("unknown part `int9`"));
    assert!(refusal("none+int8").contains("takes no parts"));
    assert!(refusal("concat+kivi:4").contains("never seals"));
    assert!(refusal("paged:16+kivi:4").contains("multiple of 32"));
    assert!(refusal("paged:32+kivi:5").contains("2, 4 or 8 bits"));
    assert!(refusal("paged+window:4/0").contains("at least 1 recent"));
    assert!(refusal("paged+window:4").contains("two numbers"));
    assert!(refusal("paged+window:4/60/3").contains("two numbers"));
    assert!(refusal("contiguous+kivi").contains("how many bits"));
    assert!(refusal("contiguous+kvq").contains("how many bits"));
}
