//! What stands where the labs would be: why there are none, and what to do.

use egui::{Button, Label, RichText, Ui};

use super::Ask;
use crate::app::labs::{Chosen, Labs};

const COMMAND: &str = "cargo run --release -- app --pane labs";
const WIDTH: f32 = 520.0;

pub fn show(ui: &mut Ui, labs: &mut Labs, why: &str) -> Option<Ask> {
    let mut ask = None;
    ui.add_space(ui.available_height() * 0.12);
    ui.vertical_centered(|ui| {
        ui.set_max_width(WIDTH.min(ui.available_width()));
        ui.heading("No labs here");
        ui.add(Label::new(why).wrap());
        ui.add_space(10.0);
        let what = "A lab is a crate in kvlab's repository, which cargo compiles whenever it is checked; they are not inside this \
                    program. Start kvlab in a clone of the repository, or anywhere inside it:";
        ui.add(Label::new(what).wrap());
        ui.label(RichText::new(COMMAND).code());
        ui.add_space(10.0);
        ui.horizontal(|ui| {
            ui.add_space((ui.available_width() - 340.0).max(0.0) / 2.0);
            if ui.button("Copy the command").on_hover_text(COMMAND).clicked() {
                ui.ctx().copy_text(COMMAND.into());
            }
            if ui.button("Look again").on_hover_text("In the folder that this program was started in").clicked() {
                ask = Some(Ask::Read);
            }
            let quiz = ui.add(Button::new(RichText::new("Take the quiz").strong()));
            if quiz.on_hover_text("Its questions are inside this program").clicked() {
                labs.choose(Chosen::Quiz);
            }
        });
    });
    ask
}
