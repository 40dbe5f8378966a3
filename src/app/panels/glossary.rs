//! The glossary: a field to search in and the terms below it.

use egui::{Context, Label, RichText, ScrollArea, TextEdit, Ui, Window};

use crate::app::{
    glossary::{self, Term},
    theme,
};

/// What of the glossary is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub is_open: bool,
    pub search: String,
}

impl View {
    /// Opens the glossary at a term.
    pub fn look_up(&mut self, term: &str) {
        (self.is_open, self.search) = (true, term.to_owned());
    }
}

/// The glossary as a window over the others, if it is open.
pub fn window(ctx: &Context, view: &mut View) {
    let View { is_open, search } = view;
    let room = ctx.content_rect().size();
    let height = (room.y - 160.0).clamp(200.0, 560.0);
    Window::new("Glossary")
        .open(is_open)
        .default_pos([(room.x - 500.0).max(0.0), 60.0])
        .default_size([460.0, height])
        .min_size([280.0, 200.0])
        .collapsible(false)
        .show(ctx, |ui| list(ui, search));
}

/// The field and the terms, in a window or a pane.
pub fn list(ui: &mut Ui, search: &mut String) {
    let found = glossary::find(search);
    ui.horizontal(|ui| {
        let label = ui.label("Search");
        let field = TextEdit::singleline(search).desired_width((ui.available_width() - 150.0).max(80.0));
        ui.add(field).labelled_by(label.id);
        if ui.add_enabled(!search.is_empty(), egui::Button::new("Clear")).clicked() {
            search.clear();
        }
        ui.weak(format!("{} of {}", found.len(), glossary::all().len()));
    });
    ui.separator();
    if found.is_empty() {
        ui.label("No term and no meaning has this in it.");
    }
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        for Term { name, meaning } in found {
            ui.label(RichText::new(name).strong().color(theme::INFO.on(ui.visuals())));
            ui.add(Label::new(meaning).wrap());
            ui.add_space(6.0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::Role;
    use egui_kittest::{Harness, kittest::Queryable};

    #[test]
    fn what_is_written_is_searched_for() {
        let mut glossary = Harness::builder()
            .with_size([700.0, 700.0])
            .build_ui_state(|ui, view: &mut View| window(ui.ctx(), view), View::default());
        assert!(glossary.query_by_label("Search").is_none(), "closed at first");
        glossary.state_mut().is_open = true;
        glossary.run_steps(3);
        let field = glossary.get_by_role_and_label(Role::TextInput, "Search");
        field.focus();
        glossary.step();
        glossary.event(egui::Event::Text("roofl".into()));
        glossary.run_steps(2);
        assert_eq!(glossary.state().search, "roofl");
        assert!(glossary.query_by_label("roofline").is_some());
        assert!(glossary.query_by_label("lane").is_none());
        glossary.get_by_role_and_label(Role::Button, "Clear").click();
        glossary.run_steps(2);
        assert!(glossary.state().search.is_empty());
        glossary.state_mut().look_up("sink");
        glossary.run_steps(2);
        assert!(glossary.query_by_label("sink").is_some());
    }
}
