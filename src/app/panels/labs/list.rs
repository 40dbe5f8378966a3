//! Which labs there are, how far somebody is with each, and the quiz.

use egui::{Button, Frame, Margin, RichText, Role, ScrollArea, Ui, WidgetInfo, vec2};

use crate::app::{
    labs::{Chosen, Labs},
    theme,
};

pub fn show(ui: &mut Ui, labs: &mut Labs) {
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.strong("Labs");
        let mut names: Vec<(Chosen, String, String)> = vec![];
        if let Some(Ok(shelf)) = labs.shelf() {
            let name = |page: &crate::app::labs::shelf::Page| {
                let number = page.lab.number;
                (Chosen::Lab(number), format!("{number}: {}", page.lab.title), labs.words(number))
            };
            names.extend(shelf.pages.iter().map(name));
        } else if let Some(Err(_)) = labs.shelf() {
            names.push((Chosen::Lab(1), "No labs here".into(), "how to get them".into()));
        }
        let (answered, all) = labs.quiz.total();
        let score = if answered == 0 { "not started".into() } else { format!("{answered} of {all} answered") };
        names.push((Chosen::Quiz, "Quiz".into(), score));
        for (chosen, name, words) in names {
            if chosen == Chosen::Quiz {
                ui.separator();
            }
            entry(ui, labs, chosen, &name, &words);
        }
    });
}

fn entry(ui: &mut Ui, labs: &mut Labs, chosen: Chosen, name: &str, words: &str) {
    let is_chosen = labs.chosen() == chosen;
    let button = Button::selectable(is_chosen, name).wrap().min_size(vec2(ui.available_width(), 0.0));
    let response = ui.add(button);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_chosen, format!("{name}, {words}")));
    if response.clicked() {
        labs.choose(chosen);
    }
    let color = match words {
        "passed" => theme::SAME.on(ui.visuals()),
        "does not compile" => theme::ERROR.on(ui.visuals()),
        _ => ui.visuals().weak_text_color(),
    };
    let margin = Margin { left: 8, bottom: 4, ..Margin::ZERO };
    Frame::new().inner_margin(margin).show(ui, |ui| ui.label(RichText::new(words).small().color(color)));
}
