//! The lanes of a run: a board of rows, the same as text, presets, and menus for one of them.

use std::ops::RangeInclusive;

use egui::{
    Align, Button, ComboBox, DragValue, Layout as Direction, Response, RichText, Role, ScrollArea, TextEdit, TextStyle,
    Ui, WidgetInfo, vec2,
};

use super::controls::{caption, complaint};
use crate::{
    app::{
        board::{self, Move},
        draft::{Choice, FORMATS, LAYOUTS, LaneDraft, RETENTIONS, with_lane},
        form::{Form, FormErrors, PRESETS},
        spots, theme,
    },
    cache::{Format, Lane, Layout, Retention, spec::MAX_NUMBER},
};

const LANES_HELP: &str = "Lanes, separated by commas; each is one cache, and all run on the same tokens. A lane is a layout, and \
    then what differs from exact rows of all tokens, each with a plus: paged:32+kivi:2+window:4/60.\n\
    Where rows live\n\
    none: no cache, every token re-runs the model over everything before it\n\
    concat: a new buffer for every token, into which everything is copied\n\
    contiguous: one buffer, reserved for the whole context\n\
    paged:B: blocks of B tokens from a pool, found through a block table\n\
    How a row is stored\n\
    f32 (exact), f16, bf16, f8: floats of 32, 16 and 8 bits\n\
    int8, q8_0: 8-bit codes with a scale; q4_0, int4: 4-bit codes\n\
    kivi:BITS/R: 2, 4 or 8 bits, keys by channel over 32 tokens; the newest R tokens at least stay exact\n\
    kvq:BITS: 2, 3 or 4 bits, levels found on a text beforehand\n\
    rot: rows rotated before they are stored, so that no channel stands out\n\
    Which tokens stay once the prompt has ended\n\
    all: every one\n\
    window:S/R: the first S and the newest R\n\
    h2o:H/R: the H with the most attention so far, and the newest R\n\
    h2o-mean:H/R: the same, by attention for each query that could see the token";
const ROTATE_HELP: &str = "Rotates queries, keys and values before they are stored (Hadamard). The attention stays the same, and no \
    channel is so much larger than the others that few bits cannot hold it";
const SWITCH_HELP: &str = "The run is paused: gives this lane the cache that is written here. Its text so far is run again (prefill), \
    and it goes on with the same tokens";
/// The names of the menus stand in a column.
const NAME_WIDTH: f32 = 54.0;
/// Some five lanes, and three lines of text.
const BOARD_HEIGHT: f32 = 140.0;
const TEXT_HEIGHT: f32 = 58.0;
/// All formats in sight.
const MENU_HEIGHT: f32 = 400.0;

/// A paused run, whose lanes can be given other caches in place.
pub struct Paused<'a> {
    /// What its lanes are called.
    pub lanes: &'a [String],
}

/// The board, the field, the presets and the menus. Returns the lane of a paused run that is to go on in another cache.
pub fn show(ui: &mut Ui, form: &mut Form, errors: &FormErrors, paused: Option<Paused<'_>>) -> Option<(usize, Lane)> {
    let area = ui.vertical(|ui| {
        let label = ui.horizontal(|ui| {
            let label = caption(ui, "Lanes", LANES_HELP);
            presets(ui, form);
            label
        });
        // The menus stay in sight, however many lanes there are.
        let board =
            ScrollArea::vertical().id_salt("board").max_height(BOARD_HEIGHT).show(ui, |ui| rows(ui, form, paused));
        let text = ScrollArea::vertical().id_salt("lanes as text").max_height(TEXT_HEIGHT);
        text.show(ui, |ui| {
            let edit = TextEdit::multiline(&mut form.lanes).desired_rows(1).desired_width(f32::INFINITY);
            ui.add(edit).on_hover_text("The same lanes as text").labelled_by(label.inner.id);
        });
        // Return in this field would be part of a lane's name.
        form.lanes.retain(|c| c != '\n');
        complaint(ui, errors.lanes.as_ref());
        board.inner
    });
    spots::mark(ui.ctx(), spots::LANES, area.response.rect);
    ui.group(|ui| {
        ui.set_width(ui.available_width());
        let chosen = form.chosen_lane();
        match chosen {
            Some((index, _)) => ui.label(format!("Menus for lane {}", theme::lane_letter(index))),
            None => ui.label("Menus for a new lane"),
        };
        if let Some((_, lane)) = chosen {
            form.draft.take(lane);
        }
        menus(ui, &mut form.draft);
        if let (Some((index, before)), Ok(lane)) = (chosen, form.draft.lane())
            && lane != before
        {
            form.lanes = board::with_row(&form.lanes, index, &lane.to_string());
        }
        add(ui, form);
    });
    ui.add_space(4.0);
    area.inner
}

/// Sets of lanes that make a point.
fn presets(ui: &mut Ui, form: &mut Form) {
    let menu = ui.menu_button("Presets", |ui| {
        for preset in &PRESETS {
            if ui.button(preset.name).on_hover_text(format!("{}:\n{}", preset.point, preset.lanes)).clicked() {
                form.choose(preset);
                ui.close();
            }
        }
    });
    menu.response.on_hover_text("Sets of lanes that make a point");
}

/// A row for each lane: its colour, its text, and what can be done with it.
fn rows(ui: &mut Ui, form: &mut Form, paused: Option<Paused<'_>>) -> Option<(usize, Lane)> {
    let mut switch = None;
    let running = paused.map(|paused| paused.lanes);
    for (index, row) in board::rows(&form.lanes).into_iter().enumerate() {
        let letter = theme::lane_letter(index);
        ui.horizontal(|ui| {
            let badge = badge(ui, form, index);
            let to = running.and_then(|running| board::switch_to(&form.lanes, index, running));
            // From the right, so that the text gets what is left.
            ui.with_layout(Direction::right_to_left(Align::Center), |ui| {
                options(ui, form, index);
                if let Some(to) = to {
                    let name = format!("switch lane {letter}");
                    let button = ui.button("Switch").on_hover_text(SWITCH_HELP);
                    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
                    if button.clicked() {
                        switch = Some((index, to));
                    }
                }
                field(ui, form, index, &row, &badge);
            });
        });
    }
    switch
}

/// What can be done with a lane.
fn options(ui: &mut Ui, form: &mut Form, index: usize) {
    let menu = ui.menu_button("\u{2026}", |ui| {
        for (name, what) in
            [("Move up", Move::Up), ("Move down", Move::Down), ("Duplicate", Move::Duplicate), ("Remove", Move::Remove)]
        {
            if ui.button(name).clicked() {
                form.lanes = board::moved(&form.lanes, index, what);
                form.chosen = None;
                ui.close();
            }
        }
    });
    let name = format!("options of lane {}", theme::lane_letter(index));
    menu.response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
}

/// A lane as text.
fn field(ui: &mut Ui, form: &mut Form, index: usize, row: &str, badge: &Response) {
    let mut text = row.to_owned();
    let edit = TextEdit::singleline(&mut text).font(TextStyle::Monospace).desired_width(ui.available_width());
    let edit = ui.add(edit).labelled_by(badge.id);
    if edit.changed() {
        form.lanes = board::with_row(&form.lanes, index, &text);
    }
    if let Err(error) = board::parse(row) {
        edit.on_hover_text(error.to_string());
    }
}

/// The colour and letter of a lane; a click shows it in the menus.
fn badge(ui: &mut Ui, form: &mut Form, index: usize) -> Response {
    let is_chosen = form.chosen == Some(index);
    let color = theme::lane_color(index, ui.visuals());
    let letter = theme::lane_letter(index);
    let text = RichText::new(letter).strong().color(ui.visuals().extreme_bg_color).background_color(color);
    let badge = ui.add(Button::selectable(is_chosen, text).min_size(vec2(22.0, 22.0)));
    badge.widget_info(|| WidgetInfo::selected(Role::Button, true, is_chosen, format!("lane {letter}")));
    let badge =
        badge.on_hover_text("Shows this lane in the menus below, which then change it; once more for a new lane");
    if badge.clicked() {
        form.chosen = (!is_chosen).then_some(index);
    }
    badge
}

fn menus(ui: &mut Ui, draft: &mut LaneDraft) {
    let layout = menu(ui, "Layout", "Where do the tokens' rows live?", &LAYOUTS, |layout| draft.has_layout(layout));
    if let Some(layout) = layout {
        draft.choose_layout(layout);
    }
    ui.add_enabled_ui(draft.has_cache, |ui| {
        if let (true, Layout::Paged { block_len }) = (draft.has_cache, &mut draft.spec.layout) {
            numbers(ui, |ui| number(ui, "block length", "Tokens of a block", 1, block_len));
        }
        let format = menu(ui, "Format", "How is a row stored?", &FORMATS, |format| draft.has_format(format));
        if let Some(format) = format {
            draft.choose_format(format);
        }
        match &mut draft.spec.format {
            Format::Kivi { bits: width, residual } => numbers(ui, |ui| {
                bits(ui, &[2, 4, 8], width);
                number(ui, "exact", "R: at least so many of the newest tokens are not quantized yet", 0, residual);
            }),
            Format::Kvq { bits: width } => numbers(ui, |ui| bits(ui, &[2, 3, 4], width)),
            _ => {}
        }
        let help = "Which tokens stay once the prompt has ended?";
        let retention = menu(ui, "Keep", help, &RETENTIONS, |retention| draft.has_retention(retention));
        draft.spec.retention = retention.unwrap_or(draft.spec.retention);
        match &mut draft.spec.retention {
            Retention::All => {}
            Retention::Window { sinks, recent } => numbers(ui, |ui| {
                number(ui, "sinks", "S: the first tokens, which stay for good", 0, sinks);
                number(ui, "recent", "R: the newest tokens, which stay", 1, recent);
            }),
            Retention::H2o { heavy, recent } | Retention::H2oMean { heavy, recent } => numbers(ui, |ui| {
                number(ui, "heavy", "H: older tokens that stay, those with the most attention so far", 0, heavy);
                number(ui, "recent", "R: the newest tokens, which stay", 1, recent);
            }),
        }
        ui.checkbox(&mut draft.spec.rotate, "Rotate rows").on_hover_text(ROTATE_HELP);
    });
}

/// The lane that the menus describe, and the button that adds it; or why it cannot be.
fn add(ui: &mut Ui, form: &mut Form) {
    let lane = form.draft.lane();
    complaint(ui, lane.as_ref().err().map(ToString::to_string).as_ref());
    ui.horizontal_wrapped(|ui| {
        let button = ui.add_enabled(lane.is_ok(), Button::new("Add lane"));
        let Ok(lane) = lane else { return };
        ui.label(RichText::new(lane.to_string()).monospace());
        if button.on_hover_text("Puts this lane behind the others").clicked() {
            form.lanes = with_lane(&form.lanes, lane);
        }
    });
}

/// The answer that was chosen just now.
fn menu<T: Copy>(
    ui: &mut Ui,
    name: &str,
    help: &str,
    choices: &[Choice<T>],
    is_chosen: impl Fn(T) -> bool,
) -> Option<T> {
    let mut chosen = None;
    ui.horizontal(|ui| {
        let label = ui.allocate_ui(vec2(NAME_WIDTH, ui.spacing().interact_size.y), |ui| {
            ui.set_width(NAME_WIDTH);
            caption(ui, name, help)
        });
        let shown = choices.iter().find(|choice| is_chosen(choice.value));
        let shown_word = shown.map_or("", |choice| choice.word);
        let menu = ComboBox::from_id_salt(("lane menu", name)).selected_text(shown_word).height(MENU_HEIGHT);
        let menu = menu.show_ui(ui, |ui| {
            for choice in choices {
                let item = ui.selectable_label(is_chosen(choice.value), choice.word).on_hover_text(choice.help);
                if item.clicked() {
                    chosen = Some(choice.value);
                }
            }
        });
        let menu = menu.response.labelled_by(label.inner.id);
        menu.on_hover_text(shown.map_or("", |choice| choice.help));
    });
    // What was chosen already keeps its numbers.
    chosen.filter(|value| !is_chosen(*value))
}

fn numbers(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    ui.horizontal_wrapped(|ui| {
        ui.add_space(NAME_WIDTH + ui.spacing().item_spacing.x);
        ui.spacing_mut().item_spacing.x = 4.0;
        add(ui);
    });
}

fn number(ui: &mut Ui, name: &str, help: &str, least: usize, value: &mut usize) {
    let label = caption(ui, name, help);
    let range: RangeInclusive<usize> = least..=MAX_NUMBER;
    ui.add(DragValue::new(value).range(range).speed(0.2)).on_hover_text(help).labelled_by(label.id);
}

fn bits(ui: &mut Ui, widths: &[u8], value: &mut u8) {
    let label = caption(ui, "bits", "Bits of a code");
    let chooser = ComboBox::from_id_salt("lane bits").width(36.0).selected_text(value.to_string()).show_ui(ui, |ui| {
        for width in widths {
            ui.selectable_value(value, *width, width.to_string());
        }
    });
    chooser.response.labelled_by(label.id);
}
