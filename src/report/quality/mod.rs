//! Quality for people: the table with its definitions, the files, two figures; and what the window draws of the same.

pub mod files;
pub mod labels;
pub mod plots;
pub mod points;

use comfy_table::{CellAlignment, Table, presets};

use crate::experiment::quality::{LaneQuality, QualitySettings};

/// The lanes side by side, with the definitions of their columns underneath.
#[must_use]
pub fn table(lanes: &[LaneQuality], settings: QualitySettings) -> String {
    let buckets: Vec<&String> = lanes.first().map(|lane| lane.recall.keys().collect()).unwrap_or_default();
    let has_greedy = settings.greedy_tokens > 0;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut header =
        ["lane", "bytes/token", "held bytes", "KL", "+-", "KL p99", "top-1", "perplexity"].map(str::to_owned).to_vec();
    // Which number is recall is said once; the definitions say the rest.
    let recall = |(i, bucket): (usize, &&String)| if i == 0 { format!("recall {bucket}") } else { (*bucket).clone() };
    header.extend(buckets.iter().enumerate().map(recall));
    header.extend(["parts at", "same text"].map(str::to_owned).into_iter().filter(|_| has_greedy));
    table.set_header(header);
    for lane in lanes {
        let show = |value: Option<f64>, text: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), text);
        let mut row = vec![
            if lane.is_exact { format!("{} (exact)", lane.lane) } else { lane.lane.clone() },
            show(lane.bytes_per_token, bytes),
            show(lane.held_bytes_per_token, bytes),
            show(lane.kl, nats),
            show(lane.kl_standard_error, nats),
            show(lane.kl_p99, nats),
            show(lane.top1_agreement, agreement),
            show(lane.perplexity, perplexity),
        ];
        row.extend(buckets.iter().map(|bucket| show(lane.recall.get(*bucket).copied().flatten(), percent)));
        if has_greedy {
            row.push(lane.greedy_divergence_median.map_or_else(|| "-".to_owned(), |token| token.to_string()));
            row.push(show(lane.greedy_same_share, percent));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n\n{}", definitions(lanes, settings, !buckets.is_empty()));
    for lane in lanes {
        if let Some(reason) = &lane.failed {
            text.push_str(&format!("\n{}: stopped, and has no numbers: {reason}\n", lane.lane));
        }
    }
    text
}

/// Printed under every table.
fn definitions(lanes: &[LaneQuality], settings: QualitySettings, has_recall: bool) -> String {
    let QualitySettings { prompt_tokens, greedy_tokens, .. } = settings;
    let mut text = format!(
        "\
Tokens are fed one by one after a prompt of {prompt_tokens}; each prediction is compared with the exact lane's.
bytes/token  bytes filled with rows and scales at the end, over all tokens that were read, evicted ones too
held bytes   the same of bytes that nobody else can use: unfilled slots of blocks and regions count
KL           mean of KL(exact || lane) in nats, 0 where every logit is equal; +- its standard error over the texts
top-1        share of predictions whose likeliest token is the exact lane's
perplexity   exp of the mean negative log likelihood of the text's next token
"
    );
    if has_recall {
        let asked: Vec<String> = lanes
            .iter()
            .find(|lane| lane.is_exact)
            .map(|lane| lane.recall_asked.iter().map(|(bucket, asked)| format!("{asked} at {bucket}")).collect())
            .unwrap_or_default();
        text.push_str(&format!(
            "recall       share of facts last mentioned so many tokens ago that the likeliest token is right about\n             \
             (asked for: {})\n",
            asked.join(", ")
        ));
    }
    if greedy_tokens > 0 {
        text.push_str(&format!(
            "parts at     generated token (0 is the first) by which half of the texts had left the exact lane's, - if fewer \
             did in {greedy_tokens}\nsame text    share of generated texts that are the exact lane's to the end\n"
        ));
    }
    text
}

/// Bytes per token, with a digit behind the point where there is something.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    let text = format!("{bytes:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A divergence with three digits: `0.350`, and `8.40e-4` where it begins with many zeros.
#[must_use]
pub fn nats(nats: f64) -> String {
    match nats {
        0.0 => "0".into(),
        // From where on it is rounded to the next digit.
        9.995.. => format!("{nats:.1}"),
        0.9995.. => format!("{nats:.2}"),
        0.09995.. => format!("{nats:.3}"),
        0.009_995.. => format!("{nats:.4}"),
        _ => format!("{nats:.2e}"),
    }
}

/// `0.5` -> `50.0 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A share of predictions: agreement is often above 99 %, so it has two digits behind the point.
#[must_use]
pub fn agreement(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

#[must_use]
pub fn perplexity(perplexity: f64) -> String {
    format!("{perplexity:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_zero_is_zero() {
        assert_eq!([7680.0, 540.25].map(bytes), ["7680", "540.2"]);
        assert_eq!([0.0, 1.234e-5].map(nats), ["0", "1.23e-5"]);
        assert_eq!(percent(0.9995), "100.0 %");
    }

    #[test]
    fn the_table_has_what_was_measured_and_says_what_failed() {
        let exact = LaneQuality { lane: "contiguous".into(), is_exact: true, kl: Some(0.0), ..LaneQuality::default() };
        let failed =
            LaneQuality { lane: "paged:16".into(), failed: Some("no number".into()), ..LaneQuality::default() };
        let settings = QualitySettings { greedy_tokens: 0, ..QualitySettings::default() };
        let text = table(&[exact.clone(), failed], settings);
        assert!(
            text.contains("contiguous (exact)") && text.contains("paged:16: stopped, and has no numbers: no number")
        );
        assert!(!text.contains("recall") && !text.contains("parts at"), "{text}");
        let asked = LaneQuality {
            recall: [("0-100".to_owned(), Some(0.5))].into(),
            recall_asked: [("0-100".to_owned(), 4)].into(),
            ..exact
        };
        let text = table(&[asked], QualitySettings::default());
        assert!(
            text.contains("50.0 %") && text.contains("(asked for: 4 at 0-100)") && text.contains("in 200"),
            "{text}"
        );
    }
}
