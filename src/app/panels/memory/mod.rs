//! What each lane's cache takes: by quantity, by cause of waste, and for many users.

mod lines;
mod series;
mod waste;

use egui::{DragValue, RichText, Ui};

use super::token_plot;
use crate::app::{shared::Shared, state::RunState};
use series::Shown;

/// The most users that are asked for.
const MOST_USERS: u64 = 10_000;

/// What the pane shows of the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    #[default]
    Series,
    Waste,
    PerUser,
}

/// Which bytes are drawn, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub what: What,
    /// The users of [`What::PerUser`].
    pub users: u64,
    /// The lane of [`What::Waste`]; all lanes at their newest token for `None`.
    pub waste_lane: Option<usize>,
    shown: Shown,
}

impl Default for View {
    fn default() -> Self {
        Self { what: What::default(), users: 100, waste_lane: None, shown: Shown::default() }
    }
}

impl What {
    const ALL: [Self; 3] = [Self::Series, Self::Waste, Self::PerUser];

    fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Waste => "waste",
            Self::PerUser => "per user",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Series => "Counted from the cache's real allocations after each token.",
            Self::Waste => "What each reserved byte is for: together they are what is reserved.",
            Self::PerUser => "What the cache of one user is for many of them: an estimate by multiplication.",
        }
    }
}

/// The pane. A small one has no switches of lanes: those of the latencies and of the table are for all plots.
pub fn show(ui: &mut Ui, run: &mut RunState, view: &mut View, shared: &Shared) {
    let is_small = token_plot::is_small(ui);
    ui.horizontal_wrapped(|ui| {
        ui.strong("Memory");
        for what in What::ALL {
            let help = format!("{}\n{}", what.help(), token_plot::MOVING);
            ui.selectable_value(&mut view.what, what, what.name()).on_hover_text(help);
        }
        match view.what {
            What::Series => series::switches(ui, run, &mut view.shown, true),
            What::Waste => waste::lane_choice(ui, run, &mut view.waste_lane),
            What::PerUser => {
                users(ui, &mut view.users);
                series::switches(ui, run, &mut view.shown, false);
            }
        }
    });
    if view.what == What::PerUser {
        let text = "Estimate: a lane holds one user, and its bytes are multiplied. The plan pane does it exactly.";
        ui.label(RichText::new(text).weak().small());
    }
    if view.what != What::Waste && !is_small {
        ui.horizontal_wrapped(|ui| token_plot::lane_switches(ui, run, "memory"));
    }
    match view.what {
        What::Series => lines::show(ui, run, shared, view.shown, None, is_small),
        What::PerUser => lines::show(ui, run, shared, view.shown, Some(view.users), is_small),
        What::Waste => waste::show(ui, run, shared, view.waste_lane),
    }
}

fn users(ui: &mut Ui, users: &mut u64) {
    let label = ui.label("Users");
    ui.add(DragValue::new(users).range(1..=MOST_USERS).speed(1.0)).labelled_by(label.id);
}
