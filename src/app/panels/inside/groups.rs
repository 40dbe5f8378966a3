//! The quantized group of the chosen channel: what it is stored with, and its levels as a ruler with the numbers sitting on it.

use egui::{Align, Align2, DragValue, Label, RichText, Role, Sense, Stroke, TextStyle, Ui, WidgetInfo, pos2, vec2};

use super::{Context, View, ruler::Ruler, words};
use crate::{
    app::theme,
    cache::{Group, Over},
    engine::{InspectedRow, Inspection, Stored},
};

const DOT: f32 = 3.2;
/// Points from one dot of a stack to the next, where there is room.
const PITCH: f32 = 7.0;
const STACK_HEIGHT: f32 = 84.0;
const TICK_HEIGHT: f32 = 9.0;
/// Room at both ends of a ruler.
const MARGIN: f32 = 10.0;

pub fn show(ui: &mut Ui, view: &mut View, found: &Inspection, row: &InspectedRow, context: &Context<'_>) {
    let Stored::Decoded { groups, is_rotated, .. } = &row.stored else { return };
    let Some(described) = groups else {
        ui.label(RichText::new("Groups are not read from a GPU's memory").weak());
        return;
    };
    if described.groups.is_empty() && described.outliers.is_empty() {
        let text = "This format stores each number by itself: there are no groups, scales or levels to share";
        ui.add(Label::new(RichText::new(text).weak()).halign(Align::LEFT).wrap());
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let label = ui.label("Group of channel").on_hover_text(words::GROUP);
        let drag = DragValue::new(&mut view.channel).range(0..=row.exact.len().saturating_sub(1));
        ui.add(drag).labelled_by(label.id).on_hover_text(words::CHANNEL);
        let others = match described.groups.len() {
            1 => "the only group of this row".to_owned(),
            n => format!("one of {n} groups of this row"),
        };
        ui.label(RichText::new(others).weak());
    });
    if *is_rotated {
        let text = "Numbers of the rotated row, not those above";
        ui.label(RichText::new(text).color(theme::WARNING.on(ui.visuals()))).on_hover_text(words::ROTATED);
    }
    if let Some((_, outlier)) = described.outliers.iter().find(|(at, _)| *at == view.channel) {
        let text = format!(
            "Channel {} is an outlier: it lies apart, as {} in f16",
            view.channel,
            words::number((*outlier).into())
        );
        ui.add(Label::new(text).halign(Align::LEFT).wrap())
            .on_hover_text("The numbers farthest out are kept by themselves, so that the levels need not reach them");
        return;
    }
    let Some(group) = described.groups.iter().find(|group| group.holds(view.channel)) else { return };
    ui.add(Label::new(RichText::new(words::members(group, found.position)).strong()).halign(Align::LEFT).wrap())
        .on_hover_text(words::GROUP);
    ui.horizontal_wrapped(|ui| {
        for (name, value, help) in words::facts(group) {
            ui.label(RichText::new(name).weak()).on_hover_text(help);
            ui.label(RichText::new(value).monospace()).on_hover_text(help);
            ui.add_space(6.0);
        }
    });
    // Which exact numbers became these is known where the group is the plotted row's own.
    let exact = if *is_rotated { &[][..] } else { &row.exact };
    ruler(ui, view, group, exact, (found.position, context.lane));
}

fn ruler(ui: &mut Ui, view: &View, group: &Group, exact: &[f32], (position, lane): (usize, usize)) {
    let width = (ui.available_width() - 2.0 * MARGIN).max(40.0);
    let ruler = Ruler::new(group, view.channel, width, 2.0 * DOT);
    #[expect(clippy::cast_precision_loss, reason = "a stack on the screen")]
    let highest = ruler.highest.max(1) as f32;
    let pitch = PITCH.min(STACK_HEIGHT / highest);
    let height = pitch * highest + 2.0 * DOT + TICK_HEIGHT * 2.0 + 18.0;
    let (area, response) = ui.allocate_exact_size(vec2(width + 2.0 * MARGIN, height), Sense::hover());
    let (visuals, painter) = (ui.visuals(), ui.painter());
    let (color, light) = (theme::lane_color(lane, visuals), visuals.weak_text_color());
    let chosen = theme::CHOSEN.on(visuals);
    let (left, base) = (area.left() + MARGIN, area.top() + pitch * highest + 2.0 * DOT);
    painter.hline(left..=left + width, base, Stroke::new(1.5, light));
    for tick in &ruler.ticks {
        painter.vline(left + tick, base..=base + TICK_HEIGHT, Stroke::new(1.0, light));
    }
    for (at, exact) in members(group, exact) {
        let stroke = Stroke::new(1.5, if at == view.channel { chosen } else { color.gamma_multiply(0.6) });
        let x = left + ruler.x(exact);
        painter.vline(x, base + TICK_HEIGHT + 2.0..=base + 2.0 * TICK_HEIGHT, stroke);
    }
    let mut nearest: Option<(f32, String)> = None;
    for dot in &ruler.dots {
        #[expect(clippy::cast_precision_loss, reason = "a stack on the screen")]
        let at = pos2(left + dot.x, base - DOT - 1.0 - pitch * dot.height as f32);
        painter.circle_filled(
            at,
            if dot.is_chosen { DOT + 1.2 } else { DOT },
            if dot.is_chosen { chosen } else { color },
        );
        let distance = response.hover_pos().map_or(f32::INFINITY, |pointer| pointer.distance(at));
        if distance < 8.0 && nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
            nearest = Some((distance, dot_words(group, dot.at, position, exact)));
        }
    }
    let (low, high) = ruler.ends();
    let font = TextStyle::Small.resolve(ui.style());
    let write = |x: f32, anchor: Align2, text: String| {
        painter.text(pos2(x, area.bottom()), anchor, text, font.clone(), visuals.text_color());
    };
    write(area.left(), Align2::LEFT_BOTTOM, words::number(low.into()));
    write(area.right(), Align2::RIGHT_BOTTOM, words::number(high.into()));
    let mut middle = if ruler.every == 1 {
        "a tick for each level".to_owned()
    } else {
        format!("a tick for every {} levels", ruler.every)
    };
    middle.push_str(match members(group, exact).count() {
        0 => "",
        1 => "; below, the exact number",
        _ => "; below, the exact numbers",
    });
    write(area.center().x, Align2::CENTER_BOTTOM, middle);
    let name = format!("levels of the group: {} levels, {} numbers", group.levels.len(), group.numbers.len());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if let Some((_, text)) = nearest {
        response.on_hover_text_at_pointer(text);
    }
}

/// The exact numbers that are known of a group: of its channels, or of the one token of a channel.
fn members<'a>(group: &'a Group, exact: &'a [f32]) -> impl Iterator<Item = (usize, f32)> + 'a {
    let channels: Vec<usize> = match group.over {
        Over::Channels => group.numbers.iter().map(|number| number.at).collect(),
        Over::Tokens { channel, .. } => vec![channel],
    };
    channels.into_iter().filter_map(|channel| Some((channel, *exact.get(channel)?)))
}

fn dot_words(group: &Group, at: usize, position: usize, exact: &[f32]) -> String {
    let (place, channel) = match group.over {
        Over::Channels => (format!("channel {at}"), Some(at)),
        Over::Tokens { channel, own } => {
            (format!("token {}", position.saturating_sub(own) + at), (at == own).then_some(channel))
        }
    };
    let level = group.numbers.iter().find(|number| number.at == at).map_or(0, |number| usize::from(number.level));
    let stored = group.number(at).map_or_else(String::new, |number| words::number(number.into()));
    let exact = channel.and_then(|channel| exact.get(channel));
    let exact = exact.map_or_else(String::new, |exact| format!("\nexact {}", words::number((*exact).into())));
    format!("{place}{exact}\nstored {stored}\ncode {level} of 0 to {}", group.levels.len().saturating_sub(1))
}
