//! What each lane wrote, and where it differs from the first lane.

mod barcode;
mod story;

pub use story::char_under;

use egui::{Align, Button, CursorIcon, Label, RichText, ScrollArea, Ui};

use crate::{
    app::{
        comparison::reference,
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
             write different texts. Where every lane is fed the first one's tokens, each that it would not have said \
             itself is marked. The strip above a text has a tick for each mark: click it to see the place",
        );
        if run.facts.as_ref().is_some_and(Facts::is_random) {
            ui.label(RichText::new(RANDOM_WEIGHTS).color(theme::WARNING.on(ui.visuals())));
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let least = COLUMN_WIDTH * run.lanes.len() as f32;
    let area = ScrollArea::horizontal().auto_shrink([false, false]).show(ui, |ui| {
        ui.set_width(least.max(ui.available_width() - 2.0));
        ui.columns(run.lanes.len(), |columns| {
            for (index, (ui, lane)) in columns.iter_mut().zip(&run.lanes).enumerate() {
                column(ui, run, index, lane);
            }
        });
    });
    spots::mark(ui.ctx(), spots::TEXT, area.inner_rect);
}

fn column(ui: &mut Ui, run: &RunState, index: usize, lane: &LaneState) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        ui.weak(theme::lane_letter(index).to_string());
        theme::lane_name(ui, index, &lane.name);
    });
    let asked = caption(ui, run, index, lane);
    let ticked = barcode::show(ui, run, index, lane);
    let seek = ticked.or(lane.first_divergence.filter(|_| asked));
    ScrollArea::vertical().id_salt(index).auto_shrink([false, false]).stick_to_bottom(true).show(ui, |ui| {
        story::show(ui, run, index, lane, seek);
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
    let first = reference(&run.lanes, index);
    let (text, color) = match (index, lane.first_divergence) {
        _ if index == first => ("the reference".to_owned(), visuals.weak_text_color()),
        (_, Some(_)) if run.is_forced => {
            let compared = lane.agreed + lane.differing.len();
            (format!("{} of {compared} tokens as {}", lane.agreed, run.lanes[first].name), theme::ERROR.on(visuals))
        }
        (_, Some(at)) => (format!("first divergence at token {at}"), theme::ERROR.on(visuals)),
        (_, None) if lane.agreed == 0 => (String::new(), visuals.weak_text_color()),
        (_, None) => (format!("same tokens as {}", run.lanes[first].name), theme::SAME.on(visuals)),
    };
    let text = RichText::new(text).small().color(color);
    if index != first && lane.first_divergence.is_some() {
        let button = ui.add(Button::new(text).frame(false).small().truncate());
        button.on_hover_cursor(CursorIcon::PointingHand).on_hover_text("Click to see the token").clicked()
    } else {
        ui.add(Label::new(text).truncate());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::comparison::tests::run;
    use egui_kittest::{Harness, kittest::Queryable};

    #[test]
    fn long_texts_of_many_lanes_are_few_shapes() {
        let tokens: Vec<u32> = (0..1_000).collect();
        let other: Vec<u32> = (0..1_000).map(|id| if id % 10 == 3 { id + 1 } else { id }).collect();
        let ids: Vec<&[u32]> = std::iter::once(&tokens[..]).chain(std::iter::repeat_n(&other[..], 7)).collect();
        let lanes: Vec<String> = (1..=8).map(|block| format!("paged:{block}")).collect();
        let run = run(&lanes.join(","), true, &ids, &[]);
        let mut window = Harness::builder().with_size([930.0, 260.0]).build_ui(|ui| show(ui, &run));
        window.run_steps(2);
        window.get_by_label("where paged:2 differs: 100 of 1000 tokens");
        let n_shapes = window.output().shapes.len();
        // One text and at most a tick a pixel for each lane, not a shape for each token and mark.
        assert!(n_shapes < 8 * 165, "{n_shapes} shapes");
    }
}
