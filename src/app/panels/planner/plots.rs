//! A plan as plots: users of each lane as bars, and bytes against the tokens of one user as lines.

use egui::{Color32, RichText, Role, TextStyle, Ui, WidgetInfo};
use egui_plot::{Bar, BarChart, GridInput, GridMark, HLine, HoverPosition, Line, LineStyle, Plot, PlotPoints, VLine};

use super::curve::{self, Unit, length, ways};
use crate::{
    app::{panels::axes, theme, units::to_x},
    report::{
        plan::Plan,
        units::{bytes, count},
    },
};

const USERS_HELP: &str = "Users that fit, three bars a lane, from top to bottom and ever paler: in the worst case, at their live \
    lengths, and with a shared prefix.";
const BYTES_HELP: &str = "What one user holds by its tokens, in whole blocks. Where a line crosses the dashed one, the memory is \
    full. The upright line is the context.";
/// Of the worst case, the live length and the shared prefix.
const STRENGTHS: [f32; 3] = [1.0, 0.65, 0.38];
const BAR_WIDTH: f64 = 0.24;

/// Users of each lane.
pub fn users(ui: &mut Ui, plan: &Plan, numbers: &[usize], is_log: &mut bool, height: f32) {
    ui.horizontal(|ui| {
        ui.strong("Users that fit").on_hover_text(USERS_HELP);
        ui.checkbox(is_log, "log scale of users").on_hover_text("Every tenfold is equally long");
    });
    ui.label(RichText::new("from strong to pale: worst case, live length, shared prefix").small().weak());
    let is_log = *is_log;
    let names: Vec<String> = plan.lanes.iter().map(|lane| lane.lane.to_string()).collect();
    let label = names.clone();
    let most = plan.lanes.iter().flat_map(ways).map(|(_, _, answer)| answer.users).max().unwrap_or(0);
    let spacer = if is_log { axes::decades as fn(GridInput) -> Vec<GridMark> } else { axes::tokens };
    let drawn = Plot::new(("plan users", is_log, most, names.len()))
        .height(height)
        .x_axis_label("users")
        .x_grid_spacer(spacer)
        .x_axis_formatter(move |mark, _| users_label(mark, is_log))
        .y_grid_spacer(lanes)
        .y_axis_formatter(move |mark, _| lane_label(&label, mark))
        .y_axis_min_width(name_width(ui, &names))
        .allow_scroll(false)
        .grid_color(theme::grid_color(ui.visuals()))
        .include_x(0.0)
        .include_x(length(most, is_log).max(1.0) * 1.05)
        .include_y(0.5)
        .include_y(0.5 - to_x(names.len().max(1)))
        .show(ui, |plot| {
            let visuals = plot.ctx().global_style().visuals.clone();
            for (index, lane) in plan.lanes.iter().enumerate() {
                let color = theme::lane_color(numbers[index], &visuals);
                let bars = ways(lane).into_iter().enumerate().map(|(way, (what, _, answer))| {
                    // The first lane is at the top, as in the table.
                    let at = (1.0 - to_x(way)) * (BAR_WIDTH + 0.02) - to_x(index);
                    let name =
                        format!("{}, {what}\n{} users\n{}", names[index], count(answer.users), bytes(answer.bytes));
                    Bar::new(at, length(answer.users, is_log)).name(name).fill(color.gamma_multiply(STRENGTHS[way]))
                });
                let chart =
                    BarChart::new(names[index].clone(), bars.collect()).width(BAR_WIDTH).color(color).horizontal();
                plot.bar_chart(chart.id(index).element_formatter(Box::new(|bar, _| bar.name.clone())));
            }
        });
    let said: Vec<String> = plan.lanes.iter().zip(&names).map(|(lane, name)| said(lane, name)).collect();
    let name = format!("users that fit: {}", said.join("; "));
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// The room that the names of lanes need beside an axis.
fn name_width(ui: &Ui, names: &[String]) -> f32 {
    let font = TextStyle::Body.resolve(ui.style());
    let width = |name: &String| ui.painter().layout_no_wrap(name.clone(), font.clone(), Color32::WHITE).size().x;
    names.iter().map(width).fold(40.0, f32::max) + 12.0
}

fn said(lane: &crate::report::plan::LanePlan, name: &str) -> String {
    let [worst, live, shared] = ways(lane).map(|(_, _, answer)| count(answer.users));
    format!("{name} {worst}, {live}, {shared}")
}

/// Bytes of one user against its tokens.
pub fn bytes_of_user(ui: &mut Ui, plan: &Plan, numbers: &[usize], height: f32) {
    ui.strong("Bytes of one user").on_hover_text(BYTES_HELP);
    ui.label(RichText::new("dashed: the memory; upright: the context").small().weak());
    let memory_bytes = plan.question.memory_bytes;
    let (unit, last) = (Unit::of(memory_bytes), curve::last_token(plan));
    let n_lanes = plan.lanes.len();
    let memory = unit.count(memory_bytes);
    let context = plan.question.context;
    let drawn = Plot::new(("plan bytes", last, memory_bytes))
        .height(height)
        .x_axis_label("tokens of one user")
        .x_grid_spacer(axes::tokens)
        .x_axis_formatter(|mark, _| tokens_label(mark))
        .y_grid_spacer(axes::mebibytes)
        .y_axis_formatter(
            move |mark, _| if mark.value < 0.0 { String::new() } else { format!("{} {}", mark.value, unit.name) },
        )
        .y_axis_min_width(66.0)
        .label_formatter(move |at| hover(at, unit))
        .allow_scroll(false)
        .grid_color(theme::grid_color(ui.visuals()))
        .default_x_bounds(0.0, curve::float(last))
        .default_y_bounds(0.0, memory * 1.3)
        .show(ui, |plot| {
            let visuals = plot.ctx().global_style().visuals.clone();
            let grey = visuals.weak_text_color();
            if context <= last {
                plot.vline(VLine::new("context", curve::float(context)).color(grey).width(1.0));
            }
            let dashed = HLine::new("memory", memory).color(visuals.strong_text_color()).width(1.5);
            plot.hline(dashed.style(LineStyle::dashed_loose()));
            for (index, lane) in plan.lanes.iter().enumerate() {
                let points = PlotPoints::from(curve::bytes_of_user(lane, plan.question.context, last, unit));
                // Of lanes that lie on each other the earlier is wider and stays in sight.
                let width = [2.0, 4.0, 6.0][(n_lanes - index - 1).min(2)];
                let color = theme::lane_color(numbers[index], &visuals);
                plot.line(Line::new(lane.lane.to_string(), points).color(color).width(width).id(index));
            }
        });
    let lanes = plan.lanes.iter().map(|lane| format!("{} {}", lane.lane, count(lane.one_user_tokens)));
    let name = format!("bytes of one user, tokens that fit: {}", lanes.collect::<Vec<_>>().join("; "));
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// A mark for each lane, however low the plot is.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
fn lanes(input: GridInput) -> Vec<GridMark> {
    axes::tokens(GridInput { base_step_size: 0.01, ..input })
}

/// Lane 0 is at 0, and the others below it.
fn lane_label(names: &[String], mark: GridMark) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number of a lane")]
    let lane = (-mark.value).max(0.0) as usize;
    if mark.value > 0.0 { String::new() } else { names.get(lane).cloned().unwrap_or_default() }
}

fn users_label(mark: GridMark, is_log: bool) -> String {
    match is_log {
        // Of each decade 1, 2 and 5 are labelled.
        true if mark.step_size > 0.2 => whole(10_f64.powf(mark.value)),
        false if mark.value >= 0.0 && mark.value.fract() == 0.0 => whole(mark.value),
        _ => String::new(),
    }
}

fn tokens_label(mark: GridMark) -> String {
    if mark.value < 0.0 { String::new() } else { whole(mark.value) }
}

fn whole(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates; a label on an axis")]
    let number = number.round() as u64;
    count(number)
}

fn hover(at: &HoverPosition<'_>, unit: Unit) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    Some(format!("{plot_name}\n{} tokens\n{:.2} {}", whole(position.x), position.y, unit.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_lanes_and_whole_users() {
        let mark = |value, step_size| GridMark { value, step_size };
        let names = ["contiguous".to_owned(), "paged:16".to_owned()];
        assert_eq!(lane_label(&names, mark(-1.0, 1.0)), "paged:16");
        assert_eq!(
            (lane_label(&names, mark(1.0, 1.0)), lane_label(&names, mark(-2.0, 1.0))),
            (String::new(), String::new())
        );
        assert_eq!(
            (users_label(mark(3.0, 1.0), true), users_label(mark(0.5, 0.1), true)),
            ("1,000".into(), String::new())
        );
        assert_eq!(
            (users_label(mark(20.0, 10.0), false), users_label(mark(0.5, 0.5), false)),
            ("20".into(), String::new())
        );
    }
}
