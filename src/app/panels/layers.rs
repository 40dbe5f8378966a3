//! How the next token is made: layer by layer, in every lane, what each layer takes and what the model would say if it ended there.

use egui::{Grid, ProgressBar, RichText, ScrollArea, Ui};

use crate::app::{
    state::{LaneState, RunState},
    theme,
    units::{millis, quoted, to_x},
};
use crate::engine::LayerStep;

const HELP: &str = "\"Step a layer\" runs one more layer of the next token of every lane. A layer stores the token's key and value in the \
    cache, reads all earlier ones (attention), and then changes the token's state by itself (MLP). What the model would say if it ended \
    there is found by giving that state to its last step, the head (the logit lens: nostalgebraist, 2020).\nThese passes are not counted in \
    any latency, and are undone; with the last layer the token is made and counted as always.";

/// The pane.
pub fn show(ui: &mut Ui, run: &RunState) {
    ui.horizontal(|ui| {
        ui.strong("Layers of the next token").on_hover_text(HELP);
        let n_layer = run.facts.as_ref().and_then(|facts| facts.shape).map_or(0, |shape| shape.n_layer);
        let done = run.layers.iter().map(Vec::len).max().unwrap_or(0);
        if done > 0 {
            ui.label(format!("layer {done} of {n_layer}; the token comes with the last one"));
        }
    });
    if run.layers.iter().all(Vec::is_empty) {
        ui.add_space(ui.available_height() * 0.3);
        ui.vertical_centered(|ui| {
            ui.label("\"Step a layer\" (L) on the left, in a paused run or before one, shows here how the next token is made.");
        });
        return;
    }
    let lanes: Vec<_> =
        run.shown_lanes().filter(|(index, _)| run.layers.get(*index).is_some_and(|l| !l.is_empty())).collect();
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let bar_width = ((ui.available_width() / lanes.len().max(1) as f32 - WORDS_WIDTH) / 2.0).clamp(44.0, 160.0);
    ScrollArea::both().auto_shrink([false, false]).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            for (index, lane) in lanes {
                let layers = run.layers.get(index).map(Vec::as_slice).unwrap_or_default();
                ui.vertical(|ui| column(ui, index, lane, layers, bar_width));
                ui.add_space(10.0);
            }
        });
    });
}

/// What a column takes beside its two bars.
const WORDS_WIDTH: f32 = 196.0;

fn column(ui: &mut Ui, index: usize, lane: &LaneState, layers: &[(LayerStep, String)], bar_width: f32) {
    theme::lane_name(ui, index, &lane.name);
    let most_norm = layers.iter().map(|(layer, _)| layer.norm).fold(0.0, f64::max);
    Grid::new(("layers", index)).striped(true).spacing([8.0, 10.0]).show(ui, |ui| {
        for (name, help) in [
            ("layer", "Counted from 1, in the order in which a token goes through them"),
            ("ms", "What the layer took in this pass, reading the cache included"),
            ("would say", "The likeliest next token if the model ended here"),
            ("sure", "The probability of that token"),
            ("size", "Euclidean length of the hidden state that leaves the layer"),
        ] {
            ui.strong(name).on_hover_text(help);
        }
        ui.end_row();
        for (layer, text) in layers {
            ui.monospace((layer.layer + 1).to_string());
            ui.monospace(millis(layer.secs));
            ui.label(quoted(Some(text)));
            bar(ui, bar_width, layer.probability, &format!("{:.0} %", layer.probability * 100.0));
            bar(ui, bar_width, layer.norm / most_norm.max(f64::MIN_POSITIVE), &format!("{:.1}", layer.norm));
            ui.end_row();
        }
    });
    let total: f64 = layers.iter().map(|(layer, _)| layer.secs).sum();
    let n = to_x(layers.len());
    ui.label(RichText::new(format!("{} ms so far, {} a layer", millis(total), millis(total / n.max(1.0)))).weak());
}

fn bar(ui: &mut Ui, width: f32, share: f64, text: &str) {
    #[expect(clippy::cast_possible_truncation, reason = "a share of a bar")]
    let share = share as f32;
    ui.add(ProgressBar::new(share).desired_width(width).text(text));
}
