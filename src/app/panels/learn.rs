//! The guided tours: their list, and a step with its question, its button and what was measured. For the right side.

use egui::{
    Align, Button, Color32, Frame, Label, Layout, Panel, ProgressBar, Response, RichText, Role, ScrollArea, Sense,
    Stroke, Ui, WidgetInfo, pos2, vec2,
};

use crate::app::{
    learn::{Answer, Goal, Learn, LearnAction, Question, Seen, Step, TOURS, Tour},
    spots, theme,
};

/// Space between the parts of a step.
const GAP: f32 = 10.0;
const MARK_SIDE: f32 = 15.0;
/// Below a prediction whose verdict waits for what is measured.
const NOTED: &str = "Noted. Now see: do what stands below. Until then you can change your mind.";

/// The panel. What comes back is what the learner asked for, and the window carries it out.
pub fn show(ui: &mut Ui, learn: &mut Learn, seen: &Seen<'_>) -> Option<LearnAction> {
    if learn.tour().is_some() {
        buttons(ui, learn);
    }
    // After the buttons, which may have changed the step.
    let (Some((_, tour)), Some((number, step))) = (learn.tour(), learn.step()) else {
        ScrollArea::vertical().id_salt("tours").auto_shrink([false, false]).show(ui, |ui| tours(ui, learn));
        return None;
    };
    let area = ScrollArea::vertical().id_salt((tour.title, number)).auto_shrink([false, false]);
    let shown = area.show(ui, |ui| {
        progress(ui, learn, tour, number);
        self::step(ui, learn, step, seen)
    });
    shown.inner
}

/// The list of tours.
fn tours(ui: &mut Ui, learn: &mut Learn) {
    ui.heading("Learn");
    wrapped(ui, "Each tour asks you to predict, runs an experiment, and shows what was measured here.");
    ui.add_space(GAP);
    for (index, tour) in TOURS.iter().enumerate() {
        let button = Button::new(RichText::new(tour.title).strong()).wrap().min_size(vec2(ui.available_width(), 30.0));
        if ui.add(button).clicked() {
            learn.enter(index);
        }
        wrapped(ui, tour.sentence);
        let place = match learn.step_of(index) {
            0 if learn.has_finished(index) => ", finished".into(),
            0 => String::new(),
            step => format!(", you are at step {}", step + 1),
        };
        let text = format!("{} steps, about {} minutes{place}", tour.steps.len(), tour.minutes);
        ui.label(RichText::new(text).small().weak());
        ui.add_space(GAP);
    }
}

/// Which step of which tour this is.
fn progress(ui: &mut Ui, learn: &Learn, tour: &Tour, number: usize) {
    ui.add(Label::new(RichText::new(tour.title).weak()).wrap());
    #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
    let share = (number + 1) as f32 / tour.steps.len() as f32;
    ui.label(RichText::new(learn.words().unwrap_or_default()).small().weak());
    let bar = ui.add(ProgressBar::new(share).desired_height(5.0).desired_width(ui.available_width()));
    bar.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, "progress of the tour"));
    ui.add_space(GAP);
}

fn step(ui: &mut Ui, learn: &mut Learn, step: &Step, seen: &Seen<'_>) -> Option<LearnAction> {
    ui.add(Label::new(RichText::new(step.title).heading().strong()).wrap());
    ui.add_space(4.0);
    wrapped(ui, step.text);
    learn.judge(seen);
    let mut action = step.spot.and_then(|spot| place(ui, step, spot));
    if let Some(asked) = &step.question {
        ui.add_space(GAP);
        question(ui, learn, asked);
        if learn.answer().is_none() {
            // What comes below would give the answer away.
            return action;
        }
    }
    if let Some(offer) = step.offer {
        ui.add_space(GAP);
        let button = Button::new(RichText::new(offer.button).strong()).min_size(vec2(0.0, 30.0));
        if ui.add(button).clicked() {
            action = Some(offer.action);
        }
    }
    if let Some(goal) = &step.goal {
        ui.add_space(4.0);
        check(ui, goal, seen);
    }
    if let Some(reveal) = step.reveal {
        ui.add_space(GAP);
        measured(ui, &reveal(seen));
    }
    ui.add_space(GAP);
    action
}

/// Points at a place, or offers the pane that has it, unless the step does so itself.
fn place(ui: &mut Ui, step: &Step, spot: &str) -> Option<LearnAction> {
    let color = theme::CHOSEN.on(ui.visuals());
    let is_pointed = spots::point(ui.ctx(), spot, step.title);
    let is_offered = |pane| step.offer.is_some_and(|offer| offer.action == LearnAction::Show(pane));
    let mut action = None;
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(format!("Look at: {spot}")).color(color));
        if let Some(pane) = spots::pane(spot).filter(|pane| !is_pointed && !is_offered(pane))
            && ui.small_button(format!("Open {pane}")).on_hover_text("It is not in sight").clicked()
        {
            action = Some(LearnAction::Show(pane));
        }
    });
    action
}

/// A prediction: choices at first, then what was chosen, and once the step is done what is right, and why.
fn question(ui: &mut Ui, learn: &mut Learn, question: &Question) {
    ui.add(Label::new(RichText::new(question.asks).strong()).wrap());
    let (answer, is_judged) = (learn.answer(), learn.is_judged());
    for (index, choice) in question.choices.iter().enumerate() {
        if choose(ui, choice, verdict(question, answer, is_judged, index)).clicked() {
            learn.give(Answer::Chosen(index));
        }
    }
    let (words, tone) = match answer {
        None => {
            if ui.small_button("Skip the question").clicked() {
                learn.give(Answer::Skipped);
            }
            return;
        }
        Some(_) if !is_judged => {
            ui.add_space(2.0);
            wrapped(ui, NOTED);
            return;
        }
        Some(Answer::Chosen(choice)) if choice == question.right => ("That is right.".to_owned(), theme::SAME),
        Some(Answer::Chosen(_)) => (format!("Not this one: {}.", question.choices[question.right]), theme::ERROR),
        Some(Answer::Skipped) => (format!("The answer: {}.", question.choices[question.right]), theme::CHOSEN),
    };
    ui.add_space(2.0);
    ui.add(Label::new(RichText::new(words).strong().color(tone.on(ui.visuals()))).wrap());
    wrapped(ui, question.because);
}

/// How a choice is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be chosen.
    Open,
    /// It was chosen, and another one can still be.
    Noted,
    Right,
    /// It was chosen, and is wrong.
    Wrong,
    /// It was not chosen, and is wrong.
    Passed,
}

fn verdict(question: &Question, answer: Option<Answer>, is_judged: bool, choice: usize) -> Verdict {
    let is_chosen = answer == Some(Answer::Chosen(choice));
    match answer {
        Some(_) if is_judged && choice == question.right => Verdict::Right,
        Some(_) if is_judged && is_chosen => Verdict::Wrong,
        Some(_) if is_judged => Verdict::Passed,
        _ if is_chosen => Verdict::Noted,
        _ => Verdict::Open,
    }
}

/// A choice of a question as a button, wrapped.
pub(super) fn choose(ui: &mut Ui, choice: &str, verdict: Verdict) -> Response {
    let visuals = ui.visuals();
    let stroke = match verdict {
        Verdict::Open => visuals.widgets.inactive.fg_stroke,
        Verdict::Noted => Stroke::new(2.0, theme::CHOSEN.on(visuals)),
        Verdict::Right => Stroke::new(2.0, theme::SAME.on(visuals)),
        Verdict::Wrong => Stroke::new(2.0, theme::ERROR.on(visuals)),
        Verdict::Passed => Stroke::new(1.0, theme::grid_color(visuals)),
    };
    let text = if verdict == Verdict::Passed { RichText::new(choice).weak() } else { RichText::new(choice) };
    let (width, is_open) = (ui.available_width(), matches!(verdict, Verdict::Open | Verdict::Noted));
    let button = Button::new(text).wrap().stroke(stroke).fill(Color32::TRANSPARENT);
    let sense = if is_open { Sense::click() } else { Sense::hover() };
    let response = ui.add(button.min_size(vec2(width, 28.0)).sense(sense));
    response.widget_info(|| WidgetInfo::selected(Role::Button, is_open, verdict == Verdict::Noted, choice));
    response
}

/// What is to have happened, with a mark once it has.
fn check(ui: &mut Ui, goal: &Goal, seen: &Seen<'_>) {
    let is_met = (goal.is_met)(seen);
    ui.horizontal_wrapped(|ui| {
        let (rect, response) = ui.allocate_exact_size(vec2(MARK_SIDE, MARK_SIDE), Sense::hover());
        response.widget_info(|| WidgetInfo::selected(Role::CheckBox, false, is_met, goal.words));
        let color = if is_met { theme::SAME.on(ui.visuals()) } else { ui.visuals().weak_text_color() };
        ui.painter().circle_stroke(rect.center(), MARK_SIDE / 2.0 - 1.0, Stroke::new(1.5, color));
        if is_met {
            let at = |x: f32, y: f32| pos2(rect.left() + x * MARK_SIDE, rect.top() + y * MARK_SIDE);
            ui.painter().line(vec![at(0.28, 0.52), at(0.44, 0.70), at(0.74, 0.32)], Stroke::new(2.0, color));
        }
        ui.add(Label::new(RichText::new(goal.words).color(color)).wrap());
    });
}

/// The numbers of this machine, or what has to be done to have some.
fn measured(ui: &mut Ui, said: &Result<String, &'static str>) {
    Frame::group(ui.style()).show(ui, |ui| {
        ui.set_width(ui.available_width());
        let (text, color) = match said {
            Ok(text) => (text.as_str(), ui.visuals().text_color()),
            Err(missing) => (*missing, ui.visuals().weak_text_color()),
        };
        ui.label(RichText::new("Measured").small().strong().color(theme::CHOSEN.on(ui.visuals())));
        ui.add(Label::new(RichText::new(text).color(color)).wrap());
    });
}

/// Below everything, wherever the step is scrolled to.
fn buttons(ui: &mut Ui, learn: &mut Learn) {
    let number = learn.step().map_or(0, |(number, _)| number);
    let is_last = learn.tour().is_some_and(|(_, tour)| number + 1 == tour.steps.len());
    Panel::bottom("learn buttons").show_separator_line(true).show(ui, |ui| {
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            if ui.add_enabled(number > 0, Button::new("Previous")).clicked() {
                learn.back();
            }
            if ui.button("All tours").on_hover_text("Your place is kept").clicked() {
                learn.leave();
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let name = RichText::new(if is_last { "Finish" } else { "Next" }).strong();
                let next = ui.add_enabled(learn.can_go_on(), Button::new(name));
                if next.on_disabled_hover_text("Answer the question first, or skip it").clicked() {
                    learn.next();
                }
            });
        });
        ui.add_space(2.0);
    });
}

fn wrapped(ui: &mut Ui, text: &str) {
    ui.add(Label::new(text).wrap());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_choice_is_shown_whatever_was_chosen_once_it_is_judged() {
        let question = Question { asks: "?", choices: &["a", "b", "c"], right: 1, because: "" };
        let noted = [0, 1, 2].map(|choice| verdict(&question, Some(Answer::Chosen(1)), false, choice));
        assert_eq!(noted, [Verdict::Open, Verdict::Noted, Verdict::Open]);
        let verdicts = |answer| [0, 1, 2].map(|choice| verdict(&question, answer, true, choice));
        assert_eq!([0, 1, 2].map(|choice| verdict(&question, None, false, choice)), [Verdict::Open; 3]);
        assert_eq!(verdicts(Some(Answer::Chosen(1))), [Verdict::Passed, Verdict::Right, Verdict::Passed]);
        assert_eq!(verdicts(Some(Answer::Chosen(2))), [Verdict::Passed, Verdict::Right, Verdict::Wrong]);
        assert_eq!(verdicts(Some(Answer::Skipped)), [Verdict::Passed, Verdict::Right, Verdict::Passed]);
    }
}
