//! What each lane wrote, and where it first differs from the first lane.

use egui::{Align, Button, CursorIcon, Label, RichText, ScrollArea, Ui, vec2};

use crate::{
    app::{
        panels::status::RANDOM_WEIGHTS,
        spots,
        state::{LaneState, RunState},
        theme,
        worker::Facts,
    },
    experiment::LaneEnd,
};

/// A narrower column breaks most lines of a story.
const COLUMN_WIDTH: f32 = 165.0;

/// One column per lane.
pub fn show(ui: &mut Ui, run: &RunState) {
    spots::mark(ui.ctx(), spots::TEXT, ui.available_rect_before_wrap());
    ui.horizontal(|ui| {
        ui.strong("Text of each lane").on_hover_text(
            "What each lane generated. The first token that is not the first lane's is marked; from there on the two \
             write different texts",
        );
        if run.facts.as_ref().is_some_and(Facts::is_random) {
            ui.label(RichText::new(RANDOM_WEIGHTS).color(theme::WARNING.on(ui.visuals())));
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let least = COLUMN_WIDTH * run.lanes.len() as f32;
    ScrollArea::horizontal().auto_shrink([false, false]).show(ui, |ui| {
        ui.set_width(least.max(ui.available_width() - 2.0));
        ui.columns(run.lanes.len(), |columns| {
            for (index, (ui, lane)) in columns.iter_mut().zip(&run.lanes).enumerate() {
                column(ui, run, index, lane);
            }
        });
    });
}

fn column(ui: &mut Ui, run: &RunState, index: usize, lane: &LaneState) {
    theme::lane_name(ui, index, &lane.name);
    let seek = caption(ui, run, index, lane);
    ScrollArea::vertical().id_salt(index).auto_shrink([false, false]).stick_to_bottom(true).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(0.0, 0.0);
            let (before, token, after) = lane.text_parts();
            let last_line = run.prompt.rsplit('\n').find(|line| !line.is_empty()).unwrap_or_default();
            ui.label(RichText::new(last_line).weak()).on_hover_text("The end of the prompt");
            ui.label(before);
            if let Some(at) = lane.first_divergence {
                // A token without a visible character is still to be seen.
                let token = if token.trim().is_empty() { "\u{b7}" } else { token };
                let mark = RichText::new(token).strong().background_color(theme::DIVERGENCE.on(ui.visuals()));
                let mark = ui.label(mark).on_hover_text(format!("first divergence at token {at}"));
                if seek {
                    mark.scroll_to_me(Some(Align::Center));
                }
            }
            ui.label(after);
        });
        end(ui, lane);
    });
}

fn end(ui: &mut Ui, lane: &LaneState) {
    let weak = ui.visuals().weak_text_color();
    let (text, color) = match &lane.end {
        None => return,
        Some(LaneEnd::Finished) => ("(all tokens generated)", weak),
        Some(LaneEnd::EndOfText) => ("(end of text)", weak),
        Some(LaneEnd::Failed(error)) => (error.as_str(), theme::ERROR.on(ui.visuals())),
    };
    ui.add(Label::new(RichText::new(text).small().color(color)).halign(Align::LEFT).wrap());
}

/// How the lane compares with the first; true when it was clicked to see the divergence.
fn caption(ui: &mut Ui, run: &RunState, index: usize, lane: &LaneState) -> bool {
    let visuals = ui.visuals();
    let (text, color) = match (index, lane.first_divergence) {
        (0, _) => ("the reference".to_owned(), visuals.weak_text_color()),
        (_, Some(at)) => (format!("first divergence at token {at}"), theme::ERROR.on(visuals)),
        (_, None) if lane.agreed == 0 => (String::new(), visuals.weak_text_color()),
        (_, None) => (format!("same tokens as {}", run.lanes[0].name), theme::SAME.on(visuals)),
    };
    let text = RichText::new(text).small().color(color);
    if let (1.., Some(_)) = (index, lane.first_divergence) {
        let button = ui.add(Button::new(text).frame(false).small().truncate());
        button.on_hover_cursor(CursorIcon::PointingHand).on_hover_text("Click to see the token").clicked()
    } else {
        ui.add(Label::new(text).truncate());
        false
    }
}
