//! The text of a sequence, block by block: what is stored, what is exact still, what was evicted.

use egui::{Color32, Role, ScrollArea, Sense, Stroke, TextFormat, TextStyle, Ui, WidgetInfo, text::LayoutJob};

use super::{
    slots::{Slot, is_evicted, slot},
    words,
};
use crate::{
    app::state::RunState,
    cache::{PoolPicture, blocks::NO_BLOCK},
};

/// Whose text is shown, and in which colour.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub run: &'a RunState,
    pub picture: &'a PoolPicture,
    pub lane: usize,
    pub sequence: usize,
    pub color: Color32,
    pub name: &'a str,
    /// The block under the pointer, wherever it is drawn.
    pub pointed: Option<u32>,
}

/// A token under the pointer points at its block.
pub fn show(ui: &mut Ui, source: Source<'_>) -> Option<u32> {
    let Source { run, picture, lane, color, .. } = source;
    let sequence = picture.sequences.get(source.sequence)?;
    heading(ui, source);
    let ink = ui.visuals().text_color();
    let block_len = picture.block_len.max(1);
    let held = |block: &u32| *block != NO_BLOCK;
    let block_of = |position: usize| sequence.blocks.get(position / block_len).copied().filter(held);
    let mut job = LayoutJob::default();
    job.wrap.max_width = ui.available_width() - 16.0;
    let mut ends = Vec::with_capacity(sequence.len);
    let mut n_chars = 0;
    for position in 0..sequence.len {
        let piece = run.token_text(lane, source.sequence, position);
        let piece = piece.filter(|text| !text.is_empty()).unwrap_or("\u{b7}");
        n_chars += piece.chars().count();
        ends.push(n_chars);
        let is_pointed = block_of(position).is_some() && block_of(position) == source.pointed;
        let is_odd = position / block_len % 2 == 1 && picture.n_blocks > 0;
        let kind = if is_evicted(sequence, position) { Slot::Dead } else { slot(sequence, position) };
        job.append(piece, 0.0, format(ui, kind, color, (is_pointed, is_odd)));
    }
    let mut pointed = None;
    ScrollArea::vertical().id_salt("block text").auto_shrink([false, false]).stick_to_bottom(true).show(ui, |ui| {
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, galley.text()));
        ui.painter().galley(rect.min, galley.clone(), ink);
        let Some(at) = response.hover_pos() else { return };
        let char = galley.cursor_from_pos(at - rect.min).index;
        let position = ends.partition_point(|end| *end <= usize::from(char));
        if position >= sequence.len {
            return;
        }
        pointed = block_of(position);
        let text = run.token_text(lane, source.sequence, position);
        response.on_hover_text_at_pointer(words::token(picture, sequence, position, text));
    });
    pointed
}

/// What the text is, and what its marks mean; those that are there.
fn heading(ui: &mut Ui, source: Source<'_>) {
    let Source { picture, color, .. } = source;
    let Some(sequence) = picture.sequences.get(source.sequence) else { return };
    ui.horizontal_wrapped(|ui| {
        let blocks = if picture.n_blocks > 0 { ", block by block" } else { "" };
        ui.label(format!("Text of {}{blocks}", source.name));
        let mut mark = |kind: Slot, words: &str| {
            let mut job = LayoutJob::default();
            job.append(words, 0.0, format(ui, kind, color, (false, false)));
            ui.label(job);
        };
        if !sequence.evicted.is_empty() {
            mark(Slot::Dead, "evicted");
        }
        if sequence.sealed.is_some_and(|sealed| sealed < sequence.len) {
            mark(Slot::Exact, "exact, not quantized yet");
            mark(Slot::Stored, "quantized");
        }
    });
}

fn format(ui: &Ui, kind: Slot, color: Color32, (is_pointed, is_odd): (bool, bool)) -> TextFormat {
    let ink = ui.visuals().text_color();
    let mut format = TextFormat::simple(TextStyle::Body.resolve(ui.style()), ink);
    let strength = match (is_pointed, kind, is_odd) {
        (true, ..) => 0.6,
        (false, Slot::Dead | Slot::Exact, _) => 0.0,
        (false, _, true) => 0.26,
        (false, _, false) => 0.1,
    };
    format.background = color.gamma_multiply(strength);
    match kind {
        Slot::Dead => {
            format.color = ui.visuals().weak_text_color();
            format.strikethrough = Stroke::new(1.0, format.color);
        }
        Slot::Exact => format.underline = Stroke::new(2.0, color),
        Slot::Stored | Slot::Empty => {}
    }
    format
}
