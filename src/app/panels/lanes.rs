//! The lanes of a run: as text, from presets, or put together in menus.

use std::ops::RangeInclusive;

use egui::{Button, ComboBox, DragValue, RichText, TextEdit, Ui, vec2};

use super::controls::{caption, complaint};
use crate::{
    app::{
        draft::{Choice, FORMATS, LAYOUTS, LaneDraft, RETENTIONS, with_lane},
        form::{Form, FormErrors, PRESETS},
    },
    cache::{Format, Layout, Retention, spec::MAX_NUMBER},
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
/// The names of the menus stand in a column.
const NAME_WIDTH: f32 = 54.0;
/// All formats in sight.
const MENU_HEIGHT: f32 = 400.0;

/// The field, the presets and the menus.
pub fn show(ui: &mut Ui, form: &mut Form, errors: &FormErrors) {
    let label = caption(ui, "Lanes", LANES_HELP);
    let edit = TextEdit::multiline(&mut form.lanes).desired_rows(2).desired_width(f32::INFINITY);
    ui.add(edit).labelled_by(label.id);
    // Return in this field would be part of a lane's name.
    form.lanes.retain(|c| c != '\n');
    complaint(ui, errors.lanes.as_ref());
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (name, lanes, point) in PRESETS {
            if ui.small_button(name).on_hover_text(format!("{point}:\n{lanes}")).clicked() {
                form.lanes = lanes.into();
            }
        }
    });
    ui.group(|ui| {
        ui.set_width(ui.available_width());
        menus(ui, &mut form.draft);
        add(ui, form);
    });
    ui.add_space(4.0);
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
        if button.on_hover_text("Puts this lane behind the others in the field above").clicked() {
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
