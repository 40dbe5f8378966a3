//! The quiz: one question at a time, its choices, and why the answer is what it is.

use egui::{Button, Key, Label, RichText, ScrollArea, Ui};

use crate::{
    app::{
        labs::quiz::Quiz,
        panels::learn::{Verdict, choose},
        theme,
    },
    course::quiz::{LETTERS, Question},
};

const MAX_WIDTH: f32 = 680.0;
const GAP: f32 = 10.0;
const KEYS: [Key; LETTERS.len()] = [Key::A, Key::B, Key::C, Key::D];

pub fn show(ui: &mut Ui, quiz: &mut Quiz) {
    ScrollArea::vertical().id_salt("quiz").auto_shrink([false, false]).show(ui, |ui| {
        ui.set_max_width(ui.available_width().min(MAX_WIDTH));
        head(ui, quiz);
        ui.separator();
        let (at, of) = quiz.place();
        let Some((question, chosen)) = quiz.question().map(|(question, chosen)| (question.clone(), chosen)) else {
            ui.weak("There are no questions on this lab.");
            return;
        };
        ui.weak(format!("Question {at} of {of}, lab {}", question.lab));
        ui.add(Label::new(RichText::new(&question.question).heading()).wrap());
        ui.add_space(GAP);
        if let Some(choice) = choices(ui, &question, chosen) {
            quiz.choose(choice);
        }
        if let Some(chosen) = chosen {
            ui.add_space(GAP);
            answer(ui, &question, chosen);
        }
        ui.add_space(GAP);
        go(ui, quiz, chosen.is_some());
    });
}

/// Which questions are asked, and how many were right.
fn head(ui: &mut Ui, quiz: &mut Quiz) {
    ui.horizontal_wrapped(|ui| {
        ui.strong("Quiz");
        let mut only = quiz.only();
        ui.selectable_value(&mut only, None, "all labs");
        for lab in quiz.labs() {
            ui.selectable_value(&mut only, Some(lab), format!("lab {lab}"));
        }
        if only != quiz.only() {
            quiz.ask_only(only);
        }
    });
    ui.horizontal(|ui| {
        let (right, answered) = quiz.score();
        ui.label(format!("{right} of {answered} right"));
        let again = ui.add_enabled(answered > 0, Button::new("Again"));
        if again.on_hover_text("Forgets these answers and begins with the first question").clicked() {
            quiz.again();
        }
        if quiz.is_over() {
            ui.label(RichText::new("All are answered.").color(theme::SAME.on(ui.visuals())));
        }
    });
}

fn choices(ui: &mut Ui, question: &Question, chosen: Option<usize>) -> Option<usize> {
    let mut made = None;
    let is_free = chosen.is_none() && !ui.ctx().egui_wants_keyboard_input();
    for (index, (choice, letter)) in question.choices.iter().zip(LETTERS).enumerate() {
        let verdict = match chosen {
            None => Verdict::Open,
            Some(_) if index == question.answer => Verdict::Right,
            Some(chosen) if index == chosen => Verdict::Wrong,
            Some(_) => Verdict::Passed,
        };
        let is_pressed = is_free && ui.input_mut(|input| input.consume_key(egui::Modifiers::NONE, KEYS[index]));
        if choose(ui, &format!("{letter}  {choice}"), verdict).clicked() || is_pressed {
            made = Some(index);
        }
    }
    if chosen.is_none() {
        ui.label(RichText::new("Press a choice, or its letter.").small().weak());
    }
    made
}

/// As `kvlab quiz` says it.
fn answer(ui: &mut Ui, question: &Question, chosen: usize) {
    let (words, tone) = if chosen == question.answer {
        ("Right.".to_owned(), theme::SAME)
    } else {
        (format!("Not quite: {}, {}.", LETTERS[question.answer], question.choices[question.answer]), theme::ERROR)
    };
    ui.add(Label::new(RichText::new(words).strong().color(tone.on(ui.visuals()))).wrap());
    ui.add(Label::new(&question.why).wrap());
}

fn go(ui: &mut Ui, quiz: &mut Quiz, is_answered: bool) {
    ui.horizontal(|ui| {
        let (at, of) = quiz.place();
        if ui.add_enabled(at > 1, Button::new("Previous question")).clicked() {
            quiz.go(false);
        }
        let name = RichText::new(if is_answered { "Next question" } else { "Skip" }).strong();
        if ui.add_enabled(at < of, Button::new(name)).clicked() {
            quiz.go(true);
        }
    });
}
