//! The table: what each lane cost so far.

use egui::{
    Align, Grid, Label, Layout, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, TextStyle, TextWrapMode, Ui,
    WidgetInfo, vec2,
};

use crate::{
    app::{
        spots,
        state::{LaneState, RunState},
        theme,
        units::{mebibytes, millis},
    },
    report::Latency,
};

/// The column that only lanes that evict fill.
const DEAD: &str = "dead";
/// Name, unit, definition.
const COLUMNS: [(&str, &str, &str); 11] = [
    ("tokens", "", "Tokens generated so far"),
    ("TTFT", "ms", "Time to first token: the prefill and the sampling of the first token"),
    (
        "TPOT",
        "ms",
        "Time per output token after the first: (end to end - TTFT) / (n - 1). End to end counts the lane's own \
         steps, not the turns of other lanes",
    ),
    ("ITL p50", "ms", "Inter-token latency, median: half of the tokens after the first took at most this"),
    ("ITL p99", "ms", "Inter-token latency, 99th percentile: 99 of 100 tokens after the first took at most this"),
    ("reserved", "MiB", "Allocated for keys, values and scales"),
    ("held", "MiB", "In blocks that the lane and its forks hold: nobody else can use them"),
    ("used", "MiB", "Filled with a live token's rows"),
    (DEAD, "MiB", "Filled with rows of tokens that were evicted, in blocks that are held still"),
    (
        "formula",
        "MiB",
        "2 x layers x KV heads x head size x bytes per number x tokens; scales, tables and unfilled blocks not counted",
    ),
    ("copied", "MiB", "Stored rows that were moved since the run began"),
];

/// Eight lanes and the header; more of them scroll.
const MAX_HEIGHT: f32 = 240.0;

/// The whole table, with a scroll bar when there are many lanes.
pub fn show(ui: &mut Ui, run: &mut RunState) {
    let area = ScrollArea::both().auto_shrink([false, true]).max_height(MAX_HEIGHT).min_scrolled_height(MAX_HEIGHT);
    let shown = area.show(ui, |ui| {
        table(ui, run);
        ui.add_space(4.0);
    });
    spots::mark(ui.ctx(), spots::SUMMARY, shown.inner_rect);
}

fn table(ui: &mut Ui, run: &mut RunState) {
    let has_dead = run.has_dead();
    let is_narrow = ui.available_width() < if has_dead { 940.0 } else { 860.0 };
    let is_shown = |name: &str| has_dead || name != DEAD;
    if is_narrow {
        for style in [TextStyle::Body, TextStyle::Monospace] {
            if let Some(font) = ui.style_mut().text_styles.get_mut(&style) {
                font.size = 13.0;
            }
        }
    }
    let (column, gap) = if is_narrow { (42.0, 7.0) } else { (58.0, 12.0) };
    Grid::new(("summary", is_narrow)).striped(true).min_col_width(column).spacing([gap, 4.0]).show(ui, |ui| {
        ui.strong("lane").on_hover_text("One cache; the colour is the same in every plot and text");
        for (name, unit, help) in COLUMNS.into_iter().filter(|column| is_shown(column.0)) {
            let text = if unit.is_empty() { format!("{name}\n") } else { format!("{name}\n{unit}") };
            right(ui, RichText::new(text).strong(), help);
        }
        ui.end_row();
        for (index, lane) in run.lanes.iter_mut().enumerate() {
            ui.horizontal(|ui| {
                toggle(ui, index, lane);
                theme::lane_name(ui, index, &lane.name);
            });
            let columns = cells(lane).into_iter().zip(COLUMNS).filter(|(_, column)| is_shown(column.0));
            for (cell, (name, unit, help)) in columns {
                right(ui, RichText::new(cell).monospace(), &format!("{name} of {} {unit}\n{help}", lane.name));
            }
            ui.end_row();
        }
    });
}

/// A square in the lane's colour that shows or hides it in the plots.
fn toggle(ui: &mut Ui, index: usize, lane: &mut LaneState) {
    let (rect, response) = ui.allocate_exact_size(vec2(14.0, 14.0), Sense::click());
    let color = theme::lane_color(index, ui.visuals());
    if lane.is_hidden {
        ui.painter().rect_stroke(rect, 2.0, Stroke::new(1.5, color), StrokeKind::Inside);
    } else {
        ui.painter().rect_filled(rect, 2.0, color);
    }
    let name = format!("plot {}", lane.name);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, !lane.is_hidden, &name));
    if response.on_hover_text("Click to hide or show this lane in the plots").clicked() {
        lane.is_hidden = !lane.is_hidden;
    }
}

fn right(ui: &mut Ui, text: RichText, help: &str) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add(Label::new(text).halign(Align::RIGHT).wrap_mode(TextWrapMode::Extend)).on_hover_text(help);
    });
}

fn cells(lane: &LaneState) -> [String; COLUMNS.len()] {
    let stats = Latency::of(&lane.records);
    let secs = |secs: Option<f64>| secs.map_or_else(|| "-".into(), millis);
    let newest = lane.records.last();
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".into(), mebibytes);
    [
        lane.records.len().to_string(),
        secs(stats.ttft_secs),
        secs(stats.tpot_secs),
        secs(stats.itl_p50_secs),
        secs(stats.itl_p99_secs),
        bytes(newest.map(|record| record.reserved_bytes)),
        bytes(newest.map(|record| record.held_bytes)),
        bytes(newest.map(|record| record.used_bytes)),
        bytes(newest.map(|record| record.dead_bytes)),
        bytes(newest.map(|record| record.formula_bytes)),
        bytes(newest.map(|record| record.copied_bytes)),
    ]
}
