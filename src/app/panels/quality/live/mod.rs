//! The run that is shown: every token of every lane beside the first lane's, while they come.

mod plot;
mod strips;
mod table;

use egui::{ScrollArea, Ui};

use crate::app::{
    comparison::{compared_lanes, nothing, words},
    state::RunState,
};

/// The plot is never lower than this; what does not fit scrolls.
const MIN_PLOT: f32 = 150.0;

pub fn show(ui: &mut Ui, run: &RunState) {
    if let Some(why) = nothing(run) {
        ui.vertical_centered(|ui| {
            ui.add_space(ui.available_height() * 0.35);
            ui.heading("Nothing to compare");
            ui.label(why);
        });
        return;
    }
    ui.label(words(run));
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        table::show(ui, run);
        let n_strips = compared_lanes(run).filter(|(_, lane, _)| !lane.is_hidden).count();
        let height = ui.available_height() - strips::height(ui, n_strips);
        let transform = plot::show(ui, run, height.max(MIN_PLOT));
        strips::show(ui, run, &transform);
    });
}
