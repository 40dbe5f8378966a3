//! What can be done with a lab: its buttons, and its file.

use egui::{Button, Label, RichText, Role, Ui, WidgetInfo, vec2};

use super::{Ask, Tab};
use crate::{
    app::{
        labs::{Kind, Labs, Stage},
        theme,
    },
    course::hints::LEVELS,
};

/// Of the spinner, in turns of which each is a dot further.
const TURN_SECS: f64 = 0.1;
const DOTS: u8 = 8;

pub fn show(ui: &mut Ui, labs: &mut Labs, tab: &mut Tab, lab: u8) -> Option<Ask> {
    let mut ask = None;
    ui.horizontal_wrapped(|ui| {
        if labs.job().is_some_and(|job| job.lab == lab) {
            ask = under_way(ui, labs);
        } else {
            let check = Button::new(RichText::new("Check").strong());
            let is_free = labs.job().is_none();
            let check = ui.add_enabled(is_free, check).on_hover_text("Compiles your file and checks it, task by task");
            if check.on_disabled_hover_text(busy(labs)).clicked() {
                *tab = Tab::Result;
                ask = Some(Ask::Begin(Kind::Check, lab));
            }
        }
        let mut is_watched = labs.watched() == Some(lab);
        let watch = ui.checkbox(&mut is_watched, "Watch");
        if watch.on_hover_text("Checks now, and again whenever your file is saved").changed() {
            *tab = Tab::Result;
            ask = Some(Ask::Watch(lab, is_watched));
        }
        ui.separator();
        hint(ui, labs, tab, lab);
        ask = others(ui, labs, lab).or(ask);
    });
    if labs.asks_reset(lab) {
        ask = confirm(ui, labs, lab).or(ask);
    }
    file(ui, labs, lab);
    ask
}

/// Where the button was: how far it is, and a way to end it.
fn under_way(ui: &mut Ui, labs: &Labs) -> Option<Ask> {
    let job = labs.job()?;
    spinner(ui);
    let line = if let Stage::Building(line) = &job.stage { line.as_str() } else { "" };
    ui.label(RichText::new(job.stage.name()).strong()).on_hover_text(if line.is_empty() {
        "nothing said yet"
    } else {
        line
    });
    // The run has a button `Cancel` of its own.
    let cancel = ui.add_enabled(job.stage != Stage::Ending, Button::new("Cancel check"));
    let cancel = cancel.on_hover_text("What was compiled is kept").on_disabled_hover_text("It is about to end");
    cancel.clicked().then_some(Ask::Cancel)
}

/// Dots of which one is large. egui's own asks for a frame as soon as one is drawn, and would take its time from the compiler.
fn spinner(ui: &mut Ui) {
    let side = ui.text_style_height(&egui::TextStyle::Body);
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), egui::Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, "under way"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of dots")]
    let first = (ui.input(|input| input.time) / TURN_SECS).rem_euclid(f64::from(DOTS)) as u8;
    for dot in 0..DOTS {
        let angle = std::f32::consts::TAU * f32::from(dot) / f32::from(DOTS);
        let radius = if dot == first { 2.4 } else { 1.3 };
        let center = rect.center() + side * 0.38 * egui::Vec2::angled(angle);
        ui.painter().circle_filled(center, radius, theme::CHOSEN.on(ui.visuals()));
    }
    ui.ctx().request_repaint_after(std::time::Duration::from_secs_f64(TURN_SECS));
}

fn hint(ui: &mut Ui, labs: &mut Labs, tab: &mut Tab, lab: u8) {
    let found = labs.hints(lab);
    let help = match found {
        Some((task, level)) if level < LEVELS => format!("For task {task}: level {} of {LEVELS}", level + 1),
        Some((task, _)) => format!("All {LEVELS} hints for task {task} are shown"),
        None => "This lab has no hints".into(),
    };
    let is_more = found.is_some_and(|(_, level)| level < LEVELS);
    let button = ui.add_enabled(found.is_some(), Button::new("Hint"));
    if button.on_hover_text(&help).on_disabled_hover_text(&help).clicked() {
        if is_more {
            labs.hint(lab);
        }
        *tab = Tab::Hints;
    }
}

fn others(ui: &mut Ui, labs: &mut Labs, lab: u8) -> Option<Ask> {
    let mut ask = None;
    let (is_free, busy) = (labs.job().is_none(), busy(labs));
    let buttons = [
        ("Start", "Notes that you have begun, and says what it is about and which file is yours", Some(Kind::Start)),
        ("Open beside ours", "Compiles the lab and opens its own window: your cache beside kvlab's", Some(Kind::Open)),
        ("Reset lab", "Puts your file back as it was shipped; asks first", None),
    ];
    for (name, help, kind) in buttons {
        let button = ui.add_enabled(is_free, Button::new(name));
        if button.on_hover_text(help).on_disabled_hover_text(&busy).clicked() {
            match kind {
                Some(kind) => ask = Some(Ask::Begin(kind, lab)),
                None => labs.ask_reset(Some(lab)),
            }
        }
    }
    ask
}

fn busy(labs: &Labs) -> String {
    labs.job().map_or_else(String::new, |job| format!("Lab {} is worked on; let it end, or cancel it there", job.lab))
}

/// Nobody loses an evening by a click.
fn confirm(ui: &mut Ui, labs: &mut Labs, lab: u8) -> Option<Ask> {
    let mut ask = None;
    ui.horizontal_wrapped(|ui| {
        let words = format!("Put lab {lab} back as it was shipped? What you wrote is kept in a file beside it.");
        ui.label(RichText::new(words).color(theme::WARNING.on(ui.visuals())));
        if ui.button("Put it back").clicked() {
            ask = Some(Ask::Begin(Kind::PutBack, lab));
        }
        if ui.button("Leave it").clicked() {
            labs.ask_reset(None);
        }
    });
    ask
}

/// Which file is the learner's.
fn file(ui: &mut Ui, labs: &Labs, lab: u8) {
    let Some(Ok(shelf)) = labs.shelf() else { return };
    let Some(page) = shelf.page(lab) else { return };
    ui.horizontal(|ui| {
        ui.weak("Your file");
        if ui.small_button("Copy the path").on_hover_text("In full, for an editor").clicked() {
            ui.ctx().copy_text(page.lab.exercise().display().to_string());
        }
        let near = page.exercise(&shelf.course).display().to_string();
        ui.add(Label::new(RichText::new(near).monospace()).truncate());
    });
}
