//! How many users fit into a memory: the fields, the table, and two plots. It is what `kvlab plan` computes.

mod curve;
mod fields;
mod plots;
mod table;

use std::rc::Rc;

use egui::{Align, ComboBox, Label, Layout, RichText, ScrollArea, TextEdit, Ui, vec2};

use crate::{
    app::theme,
    cache::Lane,
    report::{
        plan::{LanePlan, Plan},
        units::{bytes, count},
    },
};

pub use fields::{FieldErrors, Fields};

const HELP: &str = "Arithmetic alone: nothing is loaded and nothing is run. The numbers are those that a store of this lane would \
    reserve and hold, to the byte. Memory is for keys, values and scales: what is left when the weights are loaded.";
/// The least height of a plot; a lower pane scrolls.
const PLOT_HEIGHT: f32 = 190.0;
const FIELD_WIDTH: f32 = 124.0;
/// Of a name and a field below it.
const COLUMN_HEIGHT: f32 = 48.0;
/// In a narrower pane one plot is below the other.
const NARROW_WIDTH: f32 = 760.0;

/// What came of the fields.
type Computed = Result<Rc<Plan>, Box<FieldErrors>>;

/// What is filled in, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub fields: Fields,
    /// Users are drawn by their power of ten.
    pub is_log: bool,
    /// The fields as they were computed last, and the result.
    computed: Option<(Fields, Computed)>,
}

impl View {
    /// The plan of the fields. Computed anew only when one has changed.
    fn plan(&mut self) -> Computed {
        if self.computed.as_ref().is_some_and(|(fields, _)| *fields != self.fields) {
            self.computed = None;
        }
        let fields = &self.fields;
        self.computed.get_or_insert_with(|| (fields.clone(), fields.plan().map(Rc::new))).1.clone()
    }
}

/// The pane. `lanes_of_run` is what the field of the lanes of a run says, which a button copies. Lanes that are on the `board` have the
/// colours that they have there.
pub fn show(ui: &mut Ui, view: &mut View, lanes_of_run: &str, board: &[Lane]) {
    let errors = view.plan().err().unwrap_or_default();
    ui.strong("How many users fit").on_hover_text(HELP);
    inputs(ui, &mut view.fields, &errors, lanes_of_run);
    ui.separator();
    let Ok(plan) = view.plan() else {
        ui.weak("The plan appears when the fields above say what to compute.");
        return;
    };
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.add(Label::new(RichText::new(heading(&plan)).weak()).wrap());
        let numbers = numbers(&plan, board);
        ScrollArea::horizontal().auto_shrink([false, true]).show(ui, |ui| {
            table::users(ui, &plan, &numbers);
            if let Some(users) = plan.question.users {
                table::verdicts(ui, &plan, &numbers, users);
            }
            ui.add_space(4.0);
        });
        ui.add_space(6.0);
        let notes = plan.notes();
        if ui.available_width() < NARROW_WIDTH {
            plots::users(ui, &plan, &numbers, &mut view.is_log, PLOT_HEIGHT);
            plots::bytes_of_user(ui, &plan, &numbers, PLOT_HEIGHT);
        } else {
            let height = (ui.available_height() - 60.0 - 22.0 * to_f32(notes.len())).max(PLOT_HEIGHT);
            ui.columns(2, |columns| {
                plots::users(&mut columns[0], &plan, &numbers, &mut view.is_log, height);
                plots::bytes_of_user(&mut columns[1], &plan, &numbers, height);
            });
        }
        for note in notes {
            let note = note.split_whitespace().collect::<Vec<_>>().join(" ");
            ui.add(Label::new(RichText::new(format!("Note: {note}.")).small().weak()).wrap());
        }
    });
}

/// The number of each lane on the board, of which its colour follows; lanes that are not there come after those that are.
fn numbers(plan: &Plan, board: &[Lane]) -> Vec<usize> {
    let mut others = board.len()..;
    let number = |lane: &LanePlan| {
        let place = board.iter().position(|other| *other == Lane::Cache(lane.lane));
        place.or_else(|| others.next()).unwrap_or_default()
    };
    plan.lanes.iter().map(number).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a handful of notes")]
fn to_f32(n: usize) -> f32 {
    n as f32
}

/// What was asked, with the defaults in it.
fn heading(plan: &Plan) -> String {
    let question = &plan.question;
    let model = &question.model;
    format!(
        "{}: {} layers, {} heads, {} key heads, head_dim {}. Memory {}, context {} tokens, users hold {:.0} tokens on average, the \
         first {} shared.",
        model.name,
        model.n_layer,
        model.heads.n_head,
        model.heads.n_kv_head,
        model.heads.head_dim,
        bytes(question.memory_bytes),
        count(question.context),
        plan.mean_length,
        count(question.shared_prefix),
    )
}

fn inputs(ui: &mut Ui, fields: &mut Fields, errors: &FieldErrors, lanes_of_run: &str) {
    ui.horizontal_wrapped(|ui| {
        let text = "A name, layers,heads,kv_heads,head_dim as in 32,32,8,128, shape:NAME[,ctx=N], or a folder with config.json";
        field(ui, ("Model to plan for", text, ""), &mut fields.model, errors.model.as_ref());
        menu(ui, &mut fields.model);
        let help = "For keys, values and scales, as in 24GiB (2^30 bytes each), 80GB (10^9) or 512MiB";
        field(ui, ("Memory", help, "24GiB"), &mut fields.memory, errors.memory.as_ref());
        let help = "Tokens of a user at most, prompt and answer. Empty: the model's positions";
        field(ui, ("Context", help, "the model's"), &mut fields.context, errors.context.as_ref());
        let help = "Says whether so many users fit, and what they need";
        field(ui, ("Users", help, "any"), &mut fields.users, errors.users.as_ref());
        let help = "Tokens that all users begin with. Empty: a quarter of the context";
        let error = errors.shared_prefix.as_ref();
        field(ui, ("Shared prefix", help, "a quarter"), &mut fields.shared_prefix, error);
    });
    ui.horizontal(|ui| {
        let label = ui.label("Lanes to plan for").on_hover_text("Lanes with a cache, separated by commas");
        let width = (ui.available_width() - 130.0).max(FIELD_WIDTH);
        ui.add(TextEdit::singleline(&mut fields.lanes).desired_width(width)).labelled_by(label.id);
        let lanes = fields::lanes_of_run(lanes_of_run);
        let button = ui.add_enabled(lanes.is_some(), egui::Button::new("Lanes of the run"));
        let button = button.on_hover_text("Copies the lanes of the run, without none, which stores nothing");
        if button.on_disabled_hover_text("The run has no lane with a cache").clicked()
            && let Some(lanes) = lanes
        {
            fields.lanes = lanes;
        }
    });
    complaint(ui, errors.lanes.as_ref());
}

/// A field with its name above and what is wrong with it below. `name`: its name, its help, and what is there while it is empty.
fn field(ui: &mut Ui, name: (&str, &str, &str), text: &mut String, error: Option<&String>) {
    let (name, help, hint) = name;
    column(ui, FIELD_WIDTH, |ui| {
        let label = ui.label(name).on_hover_text(help);
        ui.add(TextEdit::singleline(text).desired_width(FIELD_WIDTH - 10.0).hint_text(hint)).labelled_by(label.id);
        complaint(ui, error);
    });
}

/// Known models for the field before it.
fn menu(ui: &mut Ui, model: &mut String) {
    column(ui, 86.0, |ui| {
        let label = ui.label("Known").on_hover_text("Shapes of published models, to fill in the field before this one");
        let chooser = ComboBox::from_id_salt("known models").width(78.0).selected_text("choose").show_ui(ui, |ui| {
            for (name, what) in fields::MODELS {
                if ui.selectable_label(model == name, name).on_hover_text(what).clicked() {
                    *model = name.into();
                }
            }
        });
        chooser.response.labelled_by(label.id);
    });
}

/// A column of this width, which goes into the next line where there is no room for it.
fn column(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(vec2(width, COLUMN_HEIGHT), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        add(ui);
    });
}

fn complaint(ui: &mut Ui, error: Option<&String>) {
    if let Some(error) = error {
        ui.add(Label::new(RichText::new(error).small().color(theme::ERROR.on(ui.visuals()))).wrap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_computed_when_a_field_changes() {
        let mut view = View::default();
        assert!(view.plan().is_ok());
        let (fields, _) = view.computed.clone().expect("it is kept");
        view.fields.memory = "a lot".into();
        assert!(view.plan().is_err());
        assert!(view.computed.as_ref().is_some_and(|(now, _)| *now != fields && *now == view.fields));
        view.fields = fields;
        assert!(view.plan().is_ok_and(|plan| heading(&plan).starts_with("7b: 32 layers, 32 heads")));
    }
}
