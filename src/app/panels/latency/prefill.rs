//! The prefill of each lane, apart from decode: bars of the time to first token.

use egui::{Align, Grid, Label, Layout, RichText, Role, ScrollArea, TextWrapMode, Ui, WidgetInfo};

use crate::app::{
    panels::bars::{bar, share},
    series::latency::{Prefill, prefill},
    state::RunState,
    theme::{self, lane_color},
    units::{rate, time},
};

/// Beside a bar: the name and three numbers.
const NUMBERS_WIDTH: f32 = 390.0;

/// A row a lane; the longest TTFT has the longest bar.
pub fn show(ui: &mut Ui, run: &RunState) {
    let rows: Vec<(usize, &str, Option<Prefill>)> =
        run.shown_lanes().map(|(index, lane)| (index, lane.name.as_str(), prefill(lane))).collect();
    let longest_secs = rows.iter().filter_map(|(_, _, prefill)| *prefill).map(|p| p.ttft_secs).fold(0.0, f64::max);
    let width = (ui.available_width() - NUMBERS_WIDTH).max(60.0);
    let area = ScrollArea::both().id_salt("prefill").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new(("prefill", run.id)).spacing([14.0, 6.0]).show(ui, |ui| {
            ui.strong("lane");
            ui.strong("time to first token");
            for (name, help) in [
                ("TTFT", "The prefill and the sampling of the first token"),
                ("prompt", "Tokens of the prompt"),
                ("tokens/s", "Tokens of the prompt over the TTFT"),
            ] {
                right(ui, RichText::new(name).strong()).on_hover_text(help);
            }
            ui.end_row();
            for (lane, name, prefill) in &rows {
                theme::lane_name(ui, *lane, name);
                let part = prefill.map_or(0.0, |prefill| share(prefill.ttft_secs, longest_secs));
                bar(ui, width, &[(part, lane_color(*lane, ui.visuals()))]);
                for cell in cells(*prefill) {
                    right(ui, RichText::new(cell).monospace());
                }
                ui.end_row();
            }
        });
    });
    let ttft = |(_, name, prefill): &(usize, &str, Option<Prefill>)| format!("{name} {}", cells(*prefill)[0]);
    let name = format!("prefill plot, TTFT of each lane: {}", rows.iter().map(ttft).collect::<Vec<_>>().join(", "));
    let image = ui.interact(area.inner_rect, ui.scope_id().with("prefill plot"), egui::Sense::hover());
    image.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// TTFT, tokens of the prompt, and tokens per second.
fn cells(prefill: Option<Prefill>) -> [String; 3] {
    let none = || "-".to_owned();
    [
        prefill.map_or_else(none, |prefill| time(prefill.ttft_secs)),
        prefill.map_or_else(none, |prefill| prefill.prompt_tokens.to_string()),
        prefill.and_then(|prefill| prefill.tokens_per_sec).map_or_else(none, rate),
    ]
}

fn right(ui: &mut Ui, text: RichText) -> egui::Response {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.add(Label::new(text).wrap_mode(TextWrapMode::Extend)))
        .inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_a_prefill_has_dashes() {
        assert_eq!(cells(None), ["-", "-", "-"]);
        let prefill = Prefill { ttft_secs: 0.05, prompt_tokens: 67, tokens_per_sec: Some(1340.0) };
        assert_eq!(cells(Some(prefill)), ["50.0 ms", "67", "1340"]);
    }
}
