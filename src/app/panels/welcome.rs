//! What stands where the plots will be: how to begin.

use egui::{Button, RichText, ScrollArea, Ui, vec2};

use crate::app::form::{PRESETS, Preset};

/// How somebody begins.
pub enum Begin {
    /// Fills in a preset and runs it.
    Run(&'static Preset),
    Learn,
    Open,
}

const WIDTH: f32 = 560.0;

/// Draws it and says what was chosen. `is_starting`: a run is under way and has nothing to show yet.
pub fn show(ui: &mut Ui, is_starting: bool) -> Option<Begin> {
    if is_starting {
        ui.vertical_centered(|ui| {
            ui.add_space(ui.available_height() * 0.4);
            ui.spinner();
            ui.label("The model is read, and a cache is built for every lane.");
        });
        return None;
    }
    let mut begin = None;
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.add_space(ui.available_height() * 0.06);
        ui.vertical_centered(|ui| {
            ui.heading("Press Run");
            ui.label("One model continues one prompt in several lanes, each with another KV cache.");
            ui.label("What every token costs appears here while it happens, and is measured.");
            ui.add_space(10.0);
            ui.horizontal(|ui| {
                ui.add_space((ui.available_width() - 330.0).max(0.0) / 2.0);
                let tours = ui.add(Button::new(RichText::new("Take a guided tour").strong()));
                if tours.on_hover_text("Five tours of a few minutes each, which ask before they show (F2)").clicked() {
                    begin = Some(Begin::Learn);
                }
                let help = "Shows trace.jsonl of an earlier run; it can be dropped on this window as well (Ctrl+O)";
                if ui.button("Open an earlier run").on_hover_text(help).clicked() {
                    begin = Some(Begin::Open);
                }
            });
            ui.add_space(10.0);
            ui.label(RichText::new("or begin with one of these").weak());
            for preset in PRESETS.iter().filter(|preset| preset.model.is_none()) {
                let text = format!("{}: {}", preset.name, preset.point);
                let button = Button::new(RichText::new(text).small()).wrap().min_size(vec2(WIDTH, 0.0));
                let response = ui.allocate_ui(vec2(WIDTH, 0.0), |ui| ui.add(button)).inner;
                if response.on_hover_text(preset.lanes).clicked() {
                    begin = Some(Begin::Run(preset));
                }
            }
        });
    });
    begin
}
