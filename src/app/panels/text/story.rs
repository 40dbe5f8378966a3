//! One text: a single paragraph of many colours, whose tokens are found under the pointer.

use std::sync::Arc;

use egui::{
    Align, Color32, Galley, Label, Pos2, TextFormat, TextStyle, Ui, WidgetText,
    text::{CCursor, LayoutJob},
};

use crate::app::{
    state::{LaneState, RunState},
    text_spans::{Kind, Span, at_char, char_of_token, spans, words},
    theme,
};

/// Draws the text of lane `index`; scrolls to the token `seek`.
pub fn show(ui: &mut Ui, run: &RunState, index: usize, lane: &LaneState, seek: Option<usize>) {
    let spans = spans(run, index, lane);
    let galley = ui.fonts_mut(|fonts| fonts.layout_job(job(ui, &spans)));
    let text = ui.add(Label::new(WidgetText::Galley(galley.clone())));
    let corner = text.rect.left_top();
    if let Some(index) = seek.and_then(|token| char_of_token(&spans, lane, token)) {
        let place = galley.pos_from_cursor(CCursor::new(index)).translate(corner.to_vec2());
        ui.scroll_to_rect(place, Some(Align::Center));
    }
    let pointed = text.hover_pos().and_then(|pointer| char_under(&galley, corner, pointer));
    let part = pointed.and_then(|index| at_char(&spans, lane, index));
    if let Some(words) = part.and_then(|part| words(run, lane, part)) {
        text.on_hover_text_at_pointer(words);
    }
}

fn job(ui: &Ui, spans: &[Span]) -> LayoutJob {
    let font = TextStyle::Body.resolve(ui.style());
    let visuals = ui.visuals();
    let mut job = LayoutJob::default();
    job.wrap.max_width = ui.available_width();
    for Span { text, kind } in spans {
        let (color, background) = match kind {
            Kind::Prompt => (visuals.weak_text_color(), Color32::TRANSPARENT),
            Kind::Plain(_) => (visuals.text_color(), Color32::TRANSPARENT),
            Kind::Differs(_) => (visuals.strong_text_color(), theme::DIVERGENCE.on(visuals)),
            Kind::Switched(_) => (theme::CHOSEN.on(visuals), Color32::TRANSPARENT),
        };
        job.append(text, 0.0, TextFormat { background, ..TextFormat::simple(font.clone(), color) });
    }
    job
}

/// The character that is drawn under the pointer; `None` beside the text.
#[must_use]
pub fn char_under(galley: &Arc<Galley>, corner: Pos2, pointer: Pos2) -> Option<usize> {
    let at = pointer - corner;
    // A cursor stands between characters, before or after the one under the pointer.
    let near = galley.cursor_from_pos(at).index.0;
    [near, near.saturating_sub(1)].into_iter().find(|index| {
        let (from, to) = (CCursor::new(*index), CCursor { prefer_next_row: false, ..CCursor::new(index + 1) });
        let (from, to) = (galley.pos_from_cursor(from), galley.pos_from_cursor(to));
        from.y_range().contains(at.y) && (from.left()..=to.left()).contains(&at.x)
    })
}
