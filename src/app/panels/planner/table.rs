//! A plan as tables: users and bytes of each lane, and whether those that were asked for fit.

use egui::{Align, Grid, Label, Layout, RichText, TextWrapMode, Ui};

use super::curve::{verdict, ways};
use crate::{
    app::theme,
    report::{
        plan::{LanePlan, Plan},
        units::{bytes, count},
    },
};

/// Users that fit, in each of the three ways.
pub fn users(ui: &mut Ui, plan: &Plan, numbers: &[usize]) {
    Grid::new("plan users").striped(true).spacing([16.0, 4.0]).show(ui, |ui| {
        ui.strong("lane").on_hover_text("One cache; the colour is the same in the plots");
        right(ui, RichText::new("bytes a token").strong(), "Keys, values and scales of a token over all layers");
        if let Some(lane) = plan.lanes.first() {
            for (name, help, _) in ways(lane) {
                right(ui, RichText::new(name).strong(), &format!("Users that fit. {help}"));
            }
        }
        let help = "Tokens that a single user can fill, in one prompt; the next one does not fit";
        right(ui, RichText::new("one user").strong(), help);
        ui.end_row();
        for (number, lane) in numbers.iter().zip(&plan.lanes) {
            row(ui, *number, lane);
        }
    });
}

fn row(ui: &mut Ui, number: usize, lane: &LanePlan) {
    let name = lane.lane.to_string();
    theme::lane_name(ui, number, &name);
    cell(ui, bytes(lane.token_bytes), &format!("bytes a token of {name}"));
    for (way, help, answer) in ways(lane) {
        let help = format!("users of {name}, {way}, which take {}\n{help}", bytes(answer.bytes));
        cell(ui, count(answer.users), &help);
    }
    cell(ui, format!("{} tokens", count(lane.one_user_tokens)), &format!("one user of {name}"));
    ui.end_row();
}

/// Whether so many users fit, lane by lane.
pub fn verdicts(ui: &mut Ui, plan: &Plan, numbers: &[usize], users: u64) {
    let who = if users == 1 { "1 user".into() } else { format!("{} users", count(users)) };
    ui.add_space(4.0);
    Grid::new("plan verdicts").striped(true).spacing([16.0, 4.0]).show(ui, |ui| {
        ui.strong(format!("{who} fit?"));
        if let Some(lane) = plan.lanes.first() {
            for (name, help, _) in ways(lane) {
                ui.strong(name).on_hover_text(help);
            }
        }
        ui.end_row();
        for (number, lane) in numbers.iter().zip(&plan.lanes) {
            theme::lane_name(ui, *number, &lane.lane.to_string());
            for (_, _, answer) in ways(lane) {
                let (fits, text) = verdict(answer, plan.question.memory_bytes).unwrap_or_default();
                let tone = if fits { theme::SAME } else { theme::ERROR };
                let text = RichText::new(text).color(tone.on(ui.visuals()));
                ui.add(Label::new(text).wrap_mode(TextWrapMode::Extend));
            }
            ui.end_row();
        }
    });
}

fn cell(ui: &mut Ui, text: String, help: &str) {
    right(ui, RichText::new(text).monospace(), help);
}

fn right(ui: &mut Ui, text: RichText, help: &str) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add(Label::new(text).halign(Align::RIGHT).wrap_mode(TextWrapMode::Extend)).on_hover_text(help);
    });
}
