//! Notes in the corner below right, above everything else.

use std::time::Duration;

use egui::{
    Align2, Area, Button, Color32, Context, CornerRadius, Frame, Id, Label, Order, Rect, RichText, Role, Sense, Stroke,
    Ui, UiBuilder, Visuals, WidgetInfo, accesskit::Live, vec2,
};

use crate::app::{
    notes::{Note, NoteId, NoteKind, Notes},
    theme,
};

/// The width of a note's text, in points.
const TEXT_WIDTH: f32 = 320.0;
/// Longer texts are cut; pointing at them shows all.
const MAX_CHARS: usize = 400;
/// The stripe that shows the kind of a note.
const STRIPE: f32 = 5.0;

/// What was done to a note in this frame.
#[derive(Default)]
struct Done {
    pointed: Option<NoteId>,
    dismissed: Option<NoteId>,
}

/// Draws the notes, in every frame and after everything else. While there is no note it does nothing, and it asks for no frame but the one in
/// which the next note goes.
pub fn show(ctx: &Context, notes: &mut Notes) {
    if notes.is_empty() {
        return;
    }
    let now_secs = ctx.input(|input| input.time);
    notes.tick(now_secs);
    let mut done = Done::default();
    let area = Area::new(Id::unique("notes"))
        .order(Order::Tooltip)
        .anchor(Align2::RIGHT_BOTTOM, vec2(-14.0, -14.0))
        .movable(false)
        .fade_in(false)
        .accessible_name("Notes");
    let height_id = Id::unique("height of the notes");
    let drawn = area.show(ctx, |ui| {
        if notes.n_waiting() > 0 {
            Frame::popup(ui.style()).show(ui, |ui| ui.weak(format!("{} older not shown", notes.n_waiting())));
        }
        for note in notes.shown() {
            draw(ui, note, &mut done);
        }
    });
    // The corner that holds still is the lower right one, and its place was found with the height of the last frame.
    let height = drawn.response.rect.height();
    let before = ctx.data_mut(|data| std::mem::replace(data.get_temp_mut_or_default::<f32>(height_id), height));
    if (height - before).abs() > 0.5 {
        ctx.request_discard("the notes have another height");
    }
    if let Some(id) = done.dismissed {
        notes.dismiss(id);
        ctx.request_repaint();
    }
    notes.point_at(done.pointed, now_secs);
    if let Some(secs) = notes.next_secs() {
        ctx.request_repaint_after(Duration::from_secs_f64(secs));
    }
}

fn draw(ui: &mut Ui, note: &Note, done: &mut Done) {
    let (color, frame) = (color(note.kind, ui.visuals()), Frame::popup(ui.style()).inner_margin(10));
    let builder = UiBuilder::new().id_salt(("note", note.id)).sense(Sense::click());
    let response = ui.scope_builder(builder, |ui| {
        let body = frame.show(ui, |ui| {
            ui.horizontal_top(|ui| {
                ui.add_space(STRIPE);
                ui.vertical(|ui| text(ui, note, color));
                dismiss_button(ui, note, done);
            });
        });
        stripe(ui, body.response.rect, color);
    });
    let response = response.response;
    if ui.rect_contains_pointer(response.rect) {
        done.pointed = Some(note.id);
    }
    if response.clicked() {
        done.dismissed = Some(note.id);
    }
    let (role, live) = match note.kind {
        NoteKind::Error | NoteKind::Warning => (Role::Alert, Live::Assertive),
        NoteKind::Info | NoteKind::Good => (Role::Status, Live::Polite),
    };
    response.widget_info(|| WidgetInfo::labeled(role, true, note.spoken()));
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_live(live));
}

fn text(ui: &mut Ui, note: &Note, color: Color32) {
    ui.set_width(TEXT_WIDTH);
    ui.add(Label::new(RichText::new(note.kind.name()).strong().color(color)).selectable(false));
    let cut = cut(&note.text);
    let label = ui.add(Label::new(cut.as_deref().unwrap_or(&note.text)).selectable(false).wrap());
    if cut.is_some() {
        label.on_hover_text(&note.text);
    }
}

fn dismiss_button(ui: &mut Ui, note: &Note, done: &mut Done) {
    let button = ui.add(Button::new(RichText::new("\u{d7}").heading()).frame(false)).on_hover_text("Dismiss");
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Dismiss {}", note.spoken())));
    if button.clicked() {
        done.dismissed = Some(note.id);
    }
}

/// Along the left side of the note, in the colour of its kind.
fn stripe(ui: &Ui, rect: Rect, color: Color32) {
    let rect = rect.shrink(ui.visuals().window_stroke.width);
    let radius = CornerRadius { ne: 0, se: 0, ..ui.visuals().menu_corner_radius };
    ui.painter().rect(rect.with_max_x(rect.left() + STRIPE), radius, color, Stroke::NONE, egui::StrokeKind::Inside);
}

fn color(kind: NoteKind, visuals: &Visuals) -> Color32 {
    match kind {
        NoteKind::Info => theme::INFO.on(visuals),
        NoteKind::Good => theme::SAME.on(visuals),
        NoteKind::Warning => theme::WARNING.on(visuals),
        NoteKind::Error => theme::ERROR.on(visuals),
    }
}

/// A text that is too long, cut; `None` for one that is not.
fn cut(text: &str) -> Option<String> {
    let (end, _) = text.char_indices().nth(MAX_CHARS)?;
    Some(format!("{} ...", text[..end].trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui_kittest::{Harness, kittest::Queryable};

    fn window(notes: Notes) -> Harness<'static, Notes> {
        let mut window = Harness::builder()
            .with_size([800.0, 600.0])
            .build_ui_state(|ui, notes: &mut Notes| show(ui.ctx(), notes), notes);
        window.run_steps(2);
        window
    }

    #[test]
    fn a_note_is_dismissed_by_a_click_on_it_or_on_its_button() {
        let mut notes = Notes::default();
        notes.push(NoteKind::Error, "one");
        notes.push(NoteKind::Error, "two");
        let mut window = window(notes);
        window.get_by_role_and_label(Role::Alert, "Error: one").click();
        window.run_steps(2);
        assert_eq!(window.state().shown().iter().map(|note| note.text.as_str()).collect::<Vec<_>>(), ["two"]);
        window.get_by_role_and_label(Role::Button, "Dismiss Error: two").click();
        window.run_steps(2);
        assert!(window.state().is_empty());
    }

    #[test]
    fn frames_are_asked_for_only_when_a_note_goes() {
        let ctx = Context::default();
        let mut notes = Notes::default();
        let delay = |notes: &mut Notes, secs: f64| {
            let mut delay = Duration::ZERO;
            // Some frames at one moment: egui itself asks for a second one when something is new.
            for _ in 0..4 {
                let input = egui::RawInput { time: Some(secs), ..egui::RawInput::default() };
                let mut output = ctx.run_ui(input, |ui| {
                    show(ui.ctx(), notes);
                });
                output.textures_delta.clear();
                delay = output.viewport_output[&egui::ViewportId::ROOT].repaint_delay;
            }
            delay
        };
        assert_eq!(delay(&mut notes, 1.0), Duration::MAX, "nothing is shown");
        notes.push(NoteKind::Info, "read");
        assert_eq!(delay(&mut notes, 2.0), Duration::from_secs(6));
        assert_eq!(delay(&mut notes, 6.0), Duration::from_secs(2));
        assert_eq!(delay(&mut notes, 8.0), Duration::MAX);
        assert!(notes.is_empty());
        notes.push(NoteKind::Error, "stays");
        assert_eq!(delay(&mut notes, 9.0), Duration::MAX, "an error has no clock");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(&"\u{e9}".repeat(MAX_CHARS)), None);
        assert_eq!(cut(&"\u{e9}".repeat(MAX_CHARS + 1)), Some(format!("{} ...", "\u{e9}".repeat(MAX_CHARS))));
    }
}
