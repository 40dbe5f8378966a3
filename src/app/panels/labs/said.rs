//! What came of the last check or command, and the hints that were asked for.

use egui::{Label, RichText, ScrollArea, Ui};

use super::{Tab, View, page};
use crate::{
    app::{
        labs::{Labs, Tone, page::parse},
        theme,
    },
    course::hints::LEVELS,
};

/// True where there is something to show.
pub fn has_any(labs: &Labs, lab: u8) -> bool {
    labs.said(lab).is_some() || has_hints(labs, lab)
}

fn has_hints(labs: &Labs, lab: u8) -> bool {
    labs.hints(lab).is_some_and(|(_, level)| level > 0)
}

pub fn show(ui: &mut Ui, labs: &Labs, view: &mut View, lab: u8) {
    let (has_result, has_hints) = (labs.said(lab).is_some(), has_hints(labs, lab));
    if has_result && has_hints {
        ui.horizontal(|ui| {
            ui.selectable_value(&mut view.tab, Tab::Result, "Result");
            ui.selectable_value(&mut view.tab, Tab::Hints, "Hints");
        });
    }
    if has_hints && (view.tab == Tab::Hints || !has_result) {
        hints(ui, labs, view, lab);
    } else {
        result(ui, labs, lab);
    }
}

fn result(ui: &mut Ui, labs: &Labs, lab: u8) {
    let Some(said) = labs.said(lab) else { return };
    let tone = match said.tone {
        Tone::Plain => theme::INFO,
        Tone::Good => theme::SAME,
        Tone::Bad => theme::ERROR,
    };
    ui.add(Label::new(RichText::new(&said.short).strong().color(tone.on(ui.visuals()))).wrap());
    ScrollArea::both().id_salt(("result of a lab", lab)).auto_shrink([false, false]).show(ui, |ui| {
        ui.add(Label::new(RichText::new(said.text.trim_end()).monospace()).extend());
    });
}

fn hints(ui: &mut Ui, labs: &Labs, view: &mut View, lab: u8) {
    let Some((task, level)) = labs.hints(lab) else { return };
    let Some(Ok(shelf)) = labs.shelf() else { return };
    let Some(found) = shelf.page(lab) else { return };
    ScrollArea::vertical().id_salt(("hints of a lab", lab, task)).auto_shrink([false, false]).show(ui, |ui| {
        for level in 1..=level {
            let words = format!("Task {task}, level {level} of {LEVELS}");
            ui.label(RichText::new(words).strong().color(theme::INFO.on(ui.visuals())));
            let hint = found.hints.get(task, level).unwrap_or("There is no hint of this level.");
            ui.push_id(level, |ui| page::show(ui, &mut view.markdown, &parse(hint), lab));
        }
        if level < LEVELS {
            ui.weak("Press Hint again for more.");
        }
    });
}
