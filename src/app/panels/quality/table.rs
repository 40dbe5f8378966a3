//! The numbers of each lane.

use egui::{Align, Grid, Label, Layout, RichText, ScrollArea, TextWrapMode, Ui};

use super::{NARROW_WIDTH, Shown};
use crate::{
    app::{spots, theme},
    experiment::quality::{LaneQuality, QualitySettings},
    report::quality::{agreement, bytes, nats, percent, perplexity},
};

/// Eight lanes and the header; more of them scroll.
const MAX_HEIGHT: f32 = 250.0;

/// What a column is called, and what it means.
struct Column {
    name: String,
    unit: String,
    help: String,
}

impl Column {
    fn new(name: &str, unit: &str, help: &str) -> Self {
        Self { name: name.into(), unit: unit.into(), help: help.into() }
    }
}

pub fn show(ui: &mut Ui, shown: &Shown<'_>) {
    let height = (ui.available_height() * 0.45).clamp(90.0, MAX_HEIGHT);
    let area = ScrollArea::both().auto_shrink([false, true]).max_height(height).min_scrolled_height(height);
    let area = area.show(ui, |ui| {
        table(ui, shown);
        ui.add_space(4.0);
    });
    spots::mark(ui.ctx(), spots::QUALITY_TABLE, area.inner_rect);
}

fn table(ui: &mut Ui, shown: &Shown<'_>) {
    let settings = shown.settings.quality.settings;
    let columns = columns(&shown.report.lanes, settings);
    let is_narrow = ui.available_width() < NARROW_WIDTH;
    let (column, gap) = if is_narrow { (30.0, 7.0) } else { (58.0, 12.0) };
    let has_greedy = settings.greedy_tokens > 0;
    Grid::new(("quality", is_narrow)).striped(true).min_col_width(column).spacing([gap, 4.0]).show(ui, |ui| {
        ui.strong("lane").on_hover_text("One cache; the colour is the same in every plot");
        for Column { name, unit, help } in &columns {
            right(ui, RichText::new(format!("{name}\n{unit}")).strong(), help);
        }
        ui.end_row();
        for (number, lane, _) in shown.lanes() {
            let name = if lane.is_exact { format!("{} (exact)", lane.lane) } else { lane.lane.clone() };
            theme::lane_name(ui, number, &name);
            for ((cell, more), Column { name, unit, help }) in cells(lane, has_greedy).into_iter().zip(&columns) {
                let more = more.map_or_else(String::new, |more| format!("\n{more}"));
                right(ui, RichText::new(cell).monospace(), &format!("{name} {unit} of {}{more}\n{help}", lane.lane));
            }
            ui.end_row();
        }
    });
}

fn columns(lanes: &[LaneQuality], settings: QualitySettings) -> Vec<Column> {
    let QualitySettings { prompt_tokens, greedy_tokens, .. } = settings;
    let mut columns = vec![
        Column::new(
            "bytes",
            "a token",
            "Bytes filled with rows and scales when a story ends, over all tokens that were read, evicted ones too",
        ),
        Column::new(
            "KL",
            "nats",
            "Mean of KL(exact || lane) over all predictions: what is lost where the lane is taken for the exact one. 0 \
             where every logit is equal",
        ),
        Column::new("top-1", "", "Share of predictions whose likeliest token is the exact lane's"),
        Column::new(
            "perplexity",
            "",
            "exp of the mean negative log likelihood of the story's next token: lower is better, and the exact lane's is \
             the model's own",
        ),
    ];
    let exact = lanes.iter().find(|lane| lane.is_exact);
    for (bucket, asked) in exact.into_iter().flat_map(|lane| &lane.recall_asked) {
        let help = format!(
            "Share of facts last mentioned {bucket} tokens ago that the lane's likeliest token is right about; {asked} were \
             asked for so far"
        );
        columns.push(Column::new("recall", bucket, &help));
    }
    if greedy_tokens > 0 {
        let help = format!(
            "The generated token (0 is the first) by which half of the texts had left the exact lane's, - if fewer did in \
             {greedy_tokens}. Each lane writes on from the {prompt_tokens} tokens of each prompt and takes the likeliest"
        );
        columns.push(Column::new("parts", "at", &help));
    }
    columns
}

/// What stands in each cell, and what more is said of it.
fn cells(lane: &LaneQuality, has_greedy: bool) -> Vec<(String, Option<String>)> {
    let show = |value: Option<f64>, text: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), text);
    let held = lane.held_bytes_per_token.map(|held| format!("held, unfilled slots too: {}", bytes(held)));
    let spread = lane.kl.map(|_| {
        format!(
            "+- {} (standard error over the stories), median {}, p99 {}",
            show(lane.kl_standard_error, nats),
            show(lane.kl_median, nats),
            show(lane.kl_p99, nats)
        )
    });
    let mut cells = vec![
        (show(lane.bytes_per_token, bytes), held),
        (show(lane.kl, nats), spread),
        (show(lane.top1_agreement, agreement), None),
        (show(lane.perplexity, perplexity), None),
    ];
    cells.extend(lane.recall.values().map(|share| (show(*share, percent), None)));
    if has_greedy {
        let token = lane.greedy_divergence_median.map_or_else(|| "-".to_owned(), |token| token.to_string());
        let same = lane.greedy_same_share.map(|share| format!("the same to the end: {} of the texts", percent(share)));
        cells.push((token, same));
    }
    cells
}

fn right(ui: &mut Ui, text: RichText, help: &str) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add(Label::new(text).halign(Align::RIGHT).wrap_mode(TextWrapMode::Extend)).on_hover_text(help);
    });
}
