//! The labs: their list at the left, and at the right the chosen one, its page, what can be done with it and what came of that; or the
//! quiz.

mod list;
mod missing;
mod page;
mod quiz;
mod said;
mod tools;

use egui::{CentralPanel, Panel, ScrollArea, Ui};
use egui_commonmark::CommonMarkCache;

use crate::app::labs::{Chosen, Kind, Labs};

/// What somebody asks for that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Look for the labs again.
    Read,
    Begin(Kind, u8),
    Cancel,
    /// Check a lab whenever it is saved, or no more.
    Watch(u8, bool),
}

/// Which of what was said about a lab is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tab {
    #[default]
    Result,
    Hints,
}

/// How the labs are looked at.
#[derive(Default)]
pub struct View {
    markdown: CommonMarkCache,
    tab: Tab,
}

const LIST_WIDTH: f32 = 190.0;

/// Draws the pane.
pub fn show(ui: &mut Ui, labs: &mut Labs, view: &mut View) -> Option<Ask> {
    Panel::left("labs list").resizable(true).default_size(LIST_WIDTH).size_range(150.0..=300.0).show(ui, |ui| {
        list::show(ui, labs);
    });
    let shown = CentralPanel::default().show(ui, |ui| match (labs.chosen(), labs.shelf()) {
        (Chosen::Quiz, _) => {
            quiz::show(ui, &mut labs.quiz);
            None
        }
        (_, None) => {
            ui.weak("The labs are read.");
            None
        }
        (_, Some(Err(why))) => {
            let why = why.to_owned();
            missing::show(ui, labs, &why)
        }
        (Chosen::Lab(lab), _) => self::lab(ui, labs, view, lab),
    });
    shown.inner
}

fn lab(ui: &mut Ui, labs: &mut Labs, view: &mut View, lab: u8) -> Option<Ask> {
    let ask = tools::show(ui, labs, &mut view.tab, lab);
    ui.separator();
    if said::has_any(labs, lab) {
        let height = ui.available_height() * 0.42;
        Panel::bottom("said of the lab").resizable(true).default_size(height).size_range(80.0..=600.0).show(ui, |ui| {
            said::show(ui, labs, view, lab);
        });
    }
    if let Some(Ok(shelf)) = labs.shelf()
        && let Some(found) = shelf.page(lab)
    {
        ScrollArea::vertical().id_salt(("page of a lab", lab)).auto_shrink([false, false]).show(ui, |ui| {
            page::show(ui, &mut view.markdown, &found.parts, lab);
        });
    }
    ask
}
