//! The text of a sequence, block by block: what is stored, what is exact still, what was evicted.

use egui::{Color32, Role, ScrollArea, Sense, Stroke, TextFormat, TextStyle, Ui, WidgetInfo, text::LayoutJob};

use super::{
    slots::{Slot, is_evicted, slot},
    target::{Target, Touch},
};
use crate::{
    app::{panels::text::char_under, state::RunState, theme},
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
    /// What is highlighted, wherever it is drawn.
    pub target: Option<Target>,
}

/// How strongly a word is highlighted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Light {
    None,
    /// Its block is pointed at, by another of its tokens.
    Neighbour,
    /// Its block is pointed at.
    Block,
    /// The token itself.
    Token,
}

impl Source<'_> {
    fn light(&self, position: usize, block: Option<u32>) -> Light {
        match self.target {
            Some(Target::Token { sequence, position: of }) if (sequence, of) == (self.sequence, position) => {
                Light::Token
            }
            Some(target) if block.is_some() && target.block(self.picture) == block => match target.slot(self.picture) {
                // The same token of a fork that shares the block.
                Some(slot) if slot == position % self.picture.block_len.max(1) => Light::Token,
                Some(_) => Light::Neighbour,
                None => Light::Block,
            },
            Some(Target::Gap { sequence, place })
                if (sequence, place) == (self.sequence, position / self.picture.block_len.max(1)) =>
            {
                Light::Block
            }
            _ => Light::None,
        }
    }
}

/// The text; a word that is pointed at is a token.
pub fn show(ui: &mut Ui, source: Source<'_>) -> Touch {
    let Source { run, picture, lane, color, .. } = source;
    let Some(sequence) = picture.sequences.get(source.sequence) else { return Touch::default() };
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
        let is_odd = position / block_len % 2 == 1 && picture.n_blocks > 0;
        let kind = if is_evicted(sequence, position) { Slot::Dead } else { slot(sequence, position) };
        let light = source.light(position, block_of(position));
        job.append(piece, 0.0, format(ui, kind, color, light, is_odd));
    }
    let mut touch = Touch::default();
    ScrollArea::vertical().id_salt("block text").auto_shrink([false, false]).stick_to_bottom(true).show(ui, |ui| {
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, galley.text()));
        ui.painter().galley(rect.min, galley.clone(), ink);
        touch.clicked = response.clicked();
        let Some(at) = response.hover_pos() else { return };
        let Some(char) = char_under(&galley, rect.min, at) else { return };
        let position = ends.partition_point(|end| *end <= char);
        if position < sequence.len {
            touch.pointed = Some(Target::Token { sequence: source.sequence, position });
        }
    });
    touch
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
            job.append(words, 0.0, format(ui, kind, color, Light::None, false));
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

fn format(ui: &Ui, kind: Slot, color: Color32, light: Light, is_odd: bool) -> TextFormat {
    let ink = ui.visuals().text_color();
    let mut format = TextFormat::simple(TextStyle::Body.resolve(ui.style()), ink);
    let strength = match (light, kind, is_odd) {
        (Light::Block | Light::Token, ..) => 0.6,
        (Light::Neighbour, ..) => 0.4,
        (Light::None, Slot::Dead | Slot::Exact, _) => 0.0,
        (Light::None, _, true) => 0.26,
        (Light::None, _, false) => 0.1,
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
    if light == Light::Token {
        format.background = theme::CHOSEN.on(ui.visuals()).gamma_multiply(0.7);
        format.color = ui.visuals().strong_text_color();
    }
    format
}
