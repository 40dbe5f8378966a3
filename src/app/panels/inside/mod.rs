//! The numbers inside a lane: one token's key or value, exact and stored, its quantized groups, and the newest token's online softmax.
//!
//! The window hands in what was looked at last ([`Inspection`]) and passes on to the engine what is asked for ([`Ask`]).

mod groups;
mod row;
mod ruler;
mod softmax;
mod words;

use egui::{Align, DragValue, Label, RichText, ScrollArea, Ui};

use crate::{
    app::{theme, units::quoted},
    engine::{Ask, InspectedRow, Inspection},
};

/// Below this the softmax is under the row instead of beside it.
const TWO_COLUMNS_WIDTH: f32 = 780.0;

/// Which of a token's rows is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    #[default]
    Key,
    Value,
}

/// What a person chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// From 0, as all of these; the fields show layers and heads from 1.
    pub layer: usize,
    pub head: usize,
    pub position: usize,
    pub which: Which,
    /// The channel whose group is shown.
    pub channel: usize,
    /// The lane, its stored tokens and the place that were asked for last.
    asked: Option<(usize, usize, Ask)>,
}

/// What the pane needs to know of the lane.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Its number, of which its colour follows.
    pub lane: usize,
    pub name: &'a str,
    pub n_layer: usize,
    pub n_head: usize,
    /// Tokens before the newest one: the positions that can be asked for.
    pub stored_tokens: usize,
    /// The text of the token at a position, if it is known.
    pub token_text: &'a dyn Fn(usize) -> Option<&'a str>,
    /// What was found in this lane last.
    pub inspection: Option<&'a Inspection>,
    /// Whether a look is possible now, or why not.
    pub possible: Result<(), &'a str>,
}

impl View {
    /// What was asked is to be asked again: the lane stores it otherwise now.
    pub fn forget(&mut self) {
        self.asked = None;
    }

    /// Where to look now, if a look is possible and this place was not asked for since the lane stood still here.
    fn next(&mut self, context: &Context<'_>) -> Option<Ask> {
        self.layer = self.layer.min(context.n_layer.saturating_sub(1));
        self.head = self.head.min(context.n_head.saturating_sub(1));
        self.position = self.position.min(context.stored_tokens.saturating_sub(1));
        if context.possible.is_err() || context.stored_tokens == 0 {
            self.asked = None;
            return None;
        }
        let ask = Ask { layer: self.layer, head: self.head, position: self.position };
        let asked = (context.lane, context.stored_tokens, ask);
        let is_new = self.asked != Some(asked) && !context.inspection.is_some_and(|found| self.is_of(found, context));
        self.asked = Some(asked);
        is_new.then_some(ask)
    }

    /// Whether an inspection is of the chosen place, and of the lane as it is now.
    fn is_of(&self, found: &Inspection, context: &Context<'_>) -> bool {
        (found.layer, found.head, found.position) == (self.layer, self.head, self.position)
            && found.stored_tokens == context.stored_tokens
    }
}

/// Draws the pane. Returns where to look next: once for every choice of a place, and once whenever a look became possible again or
/// the lane has stored more tokens.
pub fn show(ui: &mut Ui, view: &mut View, context: Context<'_>) -> Option<Ask> {
    header(ui, view, &context);
    let ask = view.next(&context);
    let Some(found) = context.inspection else {
        nothing(ui, &context);
        return ask;
    };
    remarks(ui, view, found, &context);
    let width = ui.available_width();
    if width < TWO_COLUMNS_WIDTH {
        ScrollArea::vertical().id_salt("inside").auto_shrink([false, false]).show(ui, |ui| {
            shown_row(ui, view, found, &context, 190.0);
            ui.add_space(10.0);
            softmax::show(ui, found, &context, false);
        });
        return ask;
    }
    let height = ui.available_height();
    ui.columns(2, |columns| {
        ScrollArea::vertical().id_salt("inside").auto_shrink([false, false]).show(&mut columns[0], |ui| {
            shown_row(ui, view, found, &context, (height * 0.45).clamp(150.0, 380.0));
        });
        softmax::show(&mut columns[1], found, &context, true);
    });
    ask
}

fn header(ui: &mut Ui, view: &mut View, context: &Context<'_>) {
    ui.horizontal_wrapped(|ui| {
        ui.strong("Numbers inside").on_hover_text(words::PANE);
        theme::lane_name(ui, context.lane, context.name);
        let mut number = |name: &str, help: &str, value: &mut usize, (first, n): (usize, usize)| {
            let label = ui.label(name).on_hover_text(help);
            let mut shown = *value + first;
            let drag = DragValue::new(&mut shown).range(first..=(n + first).saturating_sub(1).max(first));
            // Layers and heads are counted from 1, tokens from 0.
            let to = if first == 0 { "to" } else { "of" };
            let drag = drag.suffix(format!(" {to} {}", (n + first).saturating_sub(1)));
            ui.add_enabled(n > 0, drag).labelled_by(label.id).on_hover_text(help);
            *value = shown - first;
        };
        number("layer", words::LAYER, &mut view.layer, (1, context.n_layer));
        number("head", words::HEAD, &mut view.head, (1, context.n_head));
        number("token", words::TOKEN, &mut view.position, (0, context.stored_tokens));
        if context.stored_tokens > 0 {
            ui.label(quoted((context.token_text)(view.position)));
        }
        ui.selectable_value(&mut view.which, Which::Key, "key").on_hover_text(words::KEY);
        ui.selectable_value(&mut view.which, Which::Value, "value").on_hover_text(words::VALUE);
    });
}

fn nothing(ui: &mut Ui, context: &Context<'_>) {
    ui.add_space(ui.available_height() * 0.3);
    ui.vertical_centered(|ui| match context.possible {
        Err(reason) => {
            ui.heading("No look inside now");
            ui.label(reason);
        }
        Ok(()) if context.stored_tokens == 0 => {
            ui.heading("No token is stored yet");
            ui.label("The prompt's tokens can be looked at as soon as it has run.");
        }
        Ok(()) => {
            ui.heading("Looking");
        }
    });
}

/// What was found is not what was chosen, or the lane has gone on since.
fn remarks(ui: &mut Ui, view: &View, found: &Inspection, context: &Context<'_>) {
    let Err(reason) = context.possible else { return };
    let place = if view.is_of(found, context) {
        String::new()
    } else {
        let Inspection { layer, head, position, stored_tokens, .. } = found;
        format!(
            " Shown is layer {}, head {}, token {position}, when {stored_tokens} tokens were stored.",
            layer + 1,
            head + 1
        )
    };
    let text = RichText::new(format!("{reason}.{place}")).color(theme::WARNING.on(ui.visuals()));
    ui.add(Label::new(text).halign(Align::LEFT).wrap());
}

fn shown_row(ui: &mut Ui, view: &mut View, found: &Inspection, context: &Context<'_>, height: f32) {
    let row: &InspectedRow = match view.which {
        Which::Key => &found.key,
        Which::Value => &found.value,
    };
    view.channel = view.channel.min(row.exact.len().saturating_sub(1));
    row::show(ui, view, found, row, context, height);
    ui.add_space(6.0);
    groups::show(ui, view, found, row, context);
}
