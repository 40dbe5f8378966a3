//! The comparison of each lane in numbers.

use egui::{Align, Grid, Label, Layout, RichText, TextWrapMode, Ui};

use crate::{
    app::{
        comparison::{Comparison, called, compared_lanes, first_difference},
        state::RunState,
        theme,
    },
    report::quality::{agreement, nats},
};

/// Name, unit, definition.
const COLUMNS: [(&str, &str, &str); 6] = [
    ("compared", "tokens", "Tokens at which both lanes predicted the next one from the same text"),
    (
        "mean KL",
        "nats",
        "Mean of KL(first || lane) over these tokens: what is lost where the lane is taken for the first one. 0 where every \
         logit is equal",
    ),
    (
        "+-",
        "nats",
        "Standard error of that mean, as if tokens did not depend on each other; they do, so it is rather too small",
    ),
    ("p95", "nats", "95th percentile: 95 of 100 tokens have a KL of at most this"),
    ("agree", "", "Share of these tokens whose likeliest token is the first lane's"),
    ("differs", "at token", "The first token, counted from 0, that is not the first lane's; - where none is"),
];

pub fn show(ui: &mut Ui, run: &RunState) {
    Grid::new("compared").striped(true).min_col_width(56.0).spacing([16.0, 4.0]).show(ui, |ui| {
        ui.strong("lane").on_hover_text("One cache; letter and colour are the same in every plot");
        for (name, unit, help) in COLUMNS {
            let name = if unit.is_empty() { name.to_owned() } else { format!("{name}, {unit}") };
            right(ui, RichText::new(name).strong(), help);
        }
        ui.end_row();
        for (index, lane, reference) in compared_lanes(run) {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 5.0;
                ui.weak(theme::lane_letter(index).to_string());
                let help = format!("compared with {}", called(run, reference));
                theme::lane_name(ui, index, &lane.name).on_hover_text(help);
            });
            let numbers = Comparison::of(&lane.compared);
            let show = |text: fn(Comparison) -> Option<String>| numbers.and_then(text).unwrap_or_else(|| "-".into());
            let parted = run.lanes.get(reference).and_then(|reference| first_difference(lane, reference));
            let cells = [
                show(|numbers| Some(numbers.tokens.to_string())),
                show(|numbers| Some(nats(numbers.mean_kl_nats))),
                show(|numbers| numbers.standard_error_nats.map(nats)),
                show(|numbers| Some(nats(numbers.p95_kl_nats))),
                show(|numbers| Some(agreement(numbers.agreement))),
                parted.map_or_else(|| "-".into(), |token| token.to_string()),
            ];
            for (cell, (name, unit, help)) in cells.into_iter().zip(COLUMNS) {
                right(ui, RichText::new(cell).monospace(), &format!("{name} of {} {unit}\n{help}", lane.name));
            }
            ui.end_row();
        }
    });
    ui.add_space(4.0);
}

fn right(ui: &mut Ui, text: RichText, help: &str) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add(Label::new(text).halign(Align::RIGHT).wrap_mode(TextWrapMode::Extend)).on_hover_text(help);
    });
}
