//! The bar on top: what runs where, how far it is, and what went wrong.

use egui::{Align, Layout, ProgressBar, RichText, Ui};

use crate::{
    app::{
        panels::{controls::Action, files::Task},
        quality::QualityState,
        spots,
        state::{LaneState, Phase, RunState},
        theme::{self, Look},
        worker::Facts,
    },
    experiment::LaneEnd,
    model::hub::name::short,
    report::units::{bytes, count},
};

/// What the window says about random weights, on top and above the text.
pub const RANDOM_WEIGHTS: &str = "random weights: the text means nothing";

/// What a menu of the bar asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File(Task),
    Look(Look),
    Help,
    Glossary,
    Learn,
}

/// The bar itself. `refuses` says why a file cannot be read or written now.
pub fn show(
    ui: &mut Ui,
    run: &RunState,
    quality: &QualityState,
    refuses: &dyn Fn(Task) -> Option<&'static str>,
) -> Option<Menu> {
    let mut chosen = None;
    let measures = quality.phase.is_active() || (run.phase == Phase::Empty && quality.phase != Phase::Empty);
    let bar = ui.horizontal(|ui| {
        ui.heading("kvlab");
        ui.separator();
        ui.strong(if measures { quality.words() } else { phase(run) });
        let (done, all) = match run.phase {
            Phase::Downloading { done_bytes, all_bytes, .. } => (done_bytes, all_bytes),
            Phase::Loading { done, all } | Phase::Calibrating { done, all } => (done as u64, all as u64),
            _ => (0, 0),
        };
        #[expect(clippy::cast_precision_loss, reason = "a bar of 120 points shows it")]
        let share = done as f32 / all as f32;
        if quality.phase.is_active() {
            ui.add(ProgressBar::new(quality.share()).desired_width(120.0));
        } else if all > 0 {
            ui.add(ProgressBar::new(share).desired_width(120.0));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            chosen = menus(ui, refuses);
            if let Some(facts) = if measures { &quality.facts } else { &run.facts } {
                ui.add(egui::Label::new(RichText::new(describe(facts)).weak()).truncate())
                    .on_hover_text(details(facts));
                if facts.is_random() {
                    ui.label(RichText::new(RANDOM_WEIGHTS).strong().color(theme::WARNING.on(ui.visuals())));
                }
            }
        });
    });
    spots::mark(ui.ctx(), spots::STATUS, bar.response.rect);
    chosen
}

/// An error in full, until it is dismissed or the next run begins.
pub fn error(ui: &mut Ui, message: &str) -> Option<Action> {
    let mut action = None;
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(message).strong().color(theme::ERROR.on(ui.visuals())));
        if ui.button("Dismiss").clicked() {
            action = Some(Action::Dismiss);
        }
    });
    action
}

/// Where a run stands, in words.
#[must_use]
pub fn phase(run: &RunState) -> String {
    let tokens = format!("{} of {} tokens", run.progress(), run.tokens);
    match run.phase {
        Phase::Empty => "ready".into(),
        Phase::Downloading { file, done_bytes, all_bytes } => {
            format!("downloading {file}: {} of {}", bytes(done_bytes), bytes(all_bytes))
        }
        Phase::Loading { all: 0, .. } => "starting".into(),
        Phase::Loading { done, all } => format!("loading the model: {done} of {all} tensors"),
        Phase::Measuring => "measuring".into(),
        Phase::Calibrating { .. } => "calibrating: finding the levels of kvq on a text".into(),
        Phase::Running => format!("running: {tokens}"),
        Phase::Pausing => format!("pausing: {tokens}"),
        Phase::Paused => format!("paused: {tokens}"),
        Phase::Replay => format!("replay: {tokens}"),
        Phase::Finished => format!("finished: {tokens}{}", stopped(run)),
        Phase::Cancelled => format!("cancelled: {tokens}"),
        Phase::Failed if run.lanes.is_empty() => "failed".into(),
        Phase::Failed => format!("failed: {tokens}"),
    }
}

/// The lanes that did not get to their end.
fn stopped(run: &RunState) -> String {
    let failed = |lane: &&LaneState| matches!(lane.end, Some(LaneEnd::Failed(_)));
    let stopped =
        run.lanes.iter().filter(failed).map(|lane| format!("; {} stopped at {}", lane.name, lane.records.len()));
    stopped.collect()
}

/// The menus at the right.
fn menus(ui: &mut Ui, refuses: &dyn Fn(Task) -> Option<&'static str>) -> Option<Menu> {
    let mut chosen = None;
    let mut button = |ui: &mut Ui, name: &str, help: &str, then: Menu| {
        if ui.button(name).on_hover_text(help).clicked() {
            chosen = Some(then);
        }
    };
    button(ui, "Help", "The keys of the window (F1)", Menu::Help);
    button(ui, "Glossary", "What the words mean", Menu::Glossary);
    button(ui, "Learn", "Guided tours (F2)", Menu::Learn);
    let now = theme::look(ui.ctx());
    let looks = ui.menu_button("Look", |ui| {
        for look in Look::ALL {
            if ui.selectable_label(look == now, look.name()).clicked() {
                chosen = Some(Menu::Look(look));
                ui.close();
            }
        }
    });
    looks.response.on_hover_text("Dark, light, or for a projector (T). Ctrl and + or - change the size of everything");
    let files = ui.menu_button("File", |ui| {
        for task in Task::ALL {
            let refusal = refuses(task);
            let button = ui.add_enabled(refusal.is_none(), egui::Button::new(task.name()));
            let button = button.on_hover_text(task.help()).on_disabled_hover_text(refusal.unwrap_or_default());
            if button.clicked() {
                chosen = Some(Menu::File(task));
                ui.close();
            }
        }
    });
    files.response.on_hover_text("Open, compare, save and export runs");
    chosen
}

fn describe(facts: &Facts) -> String {
    let Facts { model, device, threads, .. } = facts;
    let model = short(model);
    // Its driver and its pool are in the details.
    let device = device.split(';').next().unwrap_or_default();
    let shape = facts.shape.map_or_else(String::new, |shape| {
        format!(": {} layers of {}, context {}", shape.n_layer, shape.n_embd, shape.n_positions)
    });
    format!("{model}{shape}, on {device}, {threads} threads")
}

fn details(facts: &Facts) -> String {
    let shape = facts.shape.map_or_else(String::new, |shape| {
        format!(
            ": {} weights, {} layers, {} heads, embedding {}, context {} tokens",
            count(shape.n_params),
            shape.n_layer,
            shape.n_head,
            shape.n_embd,
            shape.n_positions
        )
    });
    // Quality is measured without one.
    let prompt = match facts.prompt_tokens {
        0 => String::new(),
        tokens => format!("prompt of {tokens} tokens\n"),
    };
    let mut text = format!(
        "model {}{shape}\nweights {}\n{prompt}{}, {} threads, device {}",
        facts.model, facts.hash, facts.cpu, facts.threads, facts.device,
    );
    if let Some(note) = &facts.device_note {
        text.push_str("\nno CUDA: ");
        text.push_str(note);
    }
    if let Some(note) = &facts.model_note {
        text.push('\n');
        text.push_str(note);
    }
    text
}
