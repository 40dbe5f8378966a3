//! One token's weights: as bars over all positions, the largest in words, and over the text.

use egui::{
    Align2, Color32, Label, Pos2, Rect, Role, ScrollArea, Sense, Stroke, TextFormat, TextStyle, Ui, Vec2, WidgetInfo,
    pos2, text::LayoutJob, vec2,
};
use egui_plot::{Bar, BarChart, GridMark, Plot, PlotBounds};

use super::{Scene, View, marks::Frame, ramp, words};
use crate::app::{
    attended::{self, Axis},
    panels::axes,
    theme,
    units::{quoted, to_x},
};

/// Tokens in the list of the largest weights.
const LIST: usize = 8;
/// Narrower bars cannot be told apart.
const BAR_POINTS: f32 = 2.0;
/// Where an axis of weights may end.
const TOPS: [f64; 6] = [0.02, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Bars over the positions that the map above shows, each below its column; of a column's profile, over the rows.
pub fn plot(ui: &mut Ui, scene: &Scene<'_>, view: &View, frame: &Frame, size: Vec2) {
    let n_rows = scene.weights.n_rows;
    let token = words::token(view, n_rows);
    let profile = scene.weights.profile(scene.head, view.axis, token);
    let from = f64::from(frame.from[usize::from(view.axis == Axis::Columns)]);
    let to = from + f64::from(frame.span);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens and bars on the screen")]
    let (shown, most) = (from as usize..to.ceil() as usize, (size.x / BAR_POINTS) as usize);
    let bars = profile.bars(shown, most);
    let largest = bars.iter().map(|bar| f64::from(bar.value.abs())).fold(0.0, f64::max);
    let top = TOPS.into_iter().find(|top| *top >= largest).unwrap_or(1.0);
    let is_difference = scene.weights.reference.is_some();
    let bottom = if is_difference { -top } else { 0.0 };
    let bars: Vec<Bar> = bars.into_iter().map(|bar| plot_bar(ui, scene, &bar)).collect();

    let height =
        if is_difference { format!("\u{b1}{:.0} points", top * 100.0) } else { format!("{:.0} %", top * 100.0) };
    let axis = match view.axis {
        Axis::Rows => format!("column: the token that is looked at; full height: {height}"),
        Axis::Columns => format!("row: the token that looks; full height: {height}"),
    };
    let response = Plot::new("attention profile")
        .width(size.x)
        .height(size.y)
        .show_axes([true, false])
        .show_grid([false, true])
        .x_grid_spacer(axes::tokens)
        .x_axis_formatter(|mark, _| crate::app::panels::axes::token_label(mark))
        .x_axis_label(axis)
        .y_grid_spacer(move |_| [0.0, 0.5, 1.0, -1.0].map(|at| GridMark { value: at * top, step_size: top }).to_vec())
        .grid_color(theme::grid_color(ui.visuals()))
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_x(false)
        .show_y(false)
        .show(ui, |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([from, bottom], [to, top * 1.02]));
            let chart = BarChart::new("weights", bars);
            plot.bar_chart(chart.element_formatter(Box::new(|bar, _| bar.name.clone())));
        });
    let what = if view.axis == Axis::Rows { "looks at" } else { "is looked at by" };
    let name = format!("attention profile: what token {token} {what}");
    response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

fn plot_bar(ui: &Ui, scene: &Scene<'_>, bar: &attended::Bar) -> Bar {
    let (start, width) = (to_x(bar.tokens.start), to_x(bar.tokens.len()));
    let of = if bar.tokens.len() > 1 { format!(", the largest of {} tokens", bar.tokens.len()) } else { String::new() };
    let name =
        format!("token {} {}: {}{of}", bar.token, quoted(scene.text(bar.token)), words::number(scene, bar.value));
    Bar::new(start + width / 2.0, f64::from(bar.value))
        .width(width)
        .fill(color(ui, scene, bar.value))
        .stroke(Stroke::NONE)
        .name(name)
}

fn color(ui: &Ui, scene: &Scene<'_>, value: f32) -> Color32 {
    if scene.weights.reference.is_some() {
        ramp::side_color(value, ui.visuals())
    } else {
        theme::CHOSEN.on(ui.visuals())
    }
}

/// The largest weights of one token, as bars.
pub fn list(ui: &mut Ui, scene: &Scene<'_>, view: &View) {
    ui.add(Label::new(words::subject(scene, view)).wrap());
    let profile = scene.weights.profile(scene.head, view.axis, words::token(view, scene.weights.n_rows));
    let lane = scene.weights.attention.lane;
    ScrollArea::vertical().id_salt("choice").auto_shrink([false, false]).show(ui, |ui| {
        for (token, value) in profile.largest(LIST) {
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 19.0), Sense::hover());
            let bar = Rect::from_min_size(rect.min, vec2(rect.width() * value.abs().min(1.0), rect.height()));
            ui.painter().rect_filled(bar, 2.0, color(ui, scene, value).gamma_multiply(0.35));
            let number = words::number(scene, value);
            let font = TextStyle::Small.resolve(ui.style());
            let text = |at: Pos2, anchor: Align2, text: String| {
                ui.painter().text(at, anchor, text, font.clone(), ui.visuals().text_color())
            };
            let mid = rect.center().y;
            let right = text(pos2(rect.right() - 4.0, mid), Align2::RIGHT_CENTER, number.clone());
            let place = words::placed(scene.run, lane, token).unwrap_or_else(|| format!("token {token}"));
            let column = right.left().min(rect.right() - 52.0) - 8.0;
            let word = text(pos2(rect.left() + 4.0, mid), Align2::LEFT_CENTER, quoted(scene.text(token)));
            let galley = ui.painter().layout_no_wrap(place, font.clone(), ui.visuals().text_color());
            // In a narrow pane the word alone.
            if column - galley.size().x > word.right() + 4.0 {
                let at = pos2(column - galley.size().x, mid - galley.size().y / 2.0);
                ui.painter().galley(at, galley, ui.visuals().text_color());
            }
            let name = format!("token {token}: {number}");
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
        }
    });
}

/// The text so far, each token as strong as it is looked at, or looks.
pub fn shaded_text(ui: &mut Ui, scene: &Scene<'_>, view: &View) {
    let n_rows = scene.weights.n_rows;
    let token = words::token(view, n_rows);
    let profile = scene.weights.profile(scene.head, view.axis, token);
    let end = if view.axis == Axis::Rows { (token + 1).min(n_rows) } else { n_rows };
    let (font, ink) = (TextStyle::Body.resolve(ui.style()), ui.visuals().text_color());
    let mut job = LayoutJob::default();
    for position in 0..end {
        let value = position.checked_sub(profile.first).and_then(|at| profile.values.get(at)).copied().unwrap_or(0.0);
        let mut format = TextFormat::simple(font.clone(), ink);
        format.background = color(ui, scene, value).gamma_multiply(0.8 * value.abs().sqrt());
        if position == token {
            format.underline = Stroke::new(2.0, theme::CHOSEN.on(ui.visuals()));
        }
        job.append(scene.text(position).unwrap_or("\u{b7}"), 0.0, format);
    }
    ScrollArea::vertical()
        .id_salt("shaded")
        .auto_shrink([false, false])
        .stick_to_bottom(true)
        .show(ui, |ui| ui.add(Label::new(job).wrap()));
}
