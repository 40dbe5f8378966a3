//! Reserved bytes by cause: areas over the tokens of one lane, or a bar a lane.

use egui::{
    Align, Color32, Grid, Label, Layout, RichText, Role, ScrollArea, Sense, TextStyle, TextWrapMode, Ui, Visuals,
    WidgetInfo, vec2,
};
use egui_plot::FilledArea;

use crate::app::{
    panels::{
        axes,
        bars::{bar, share},
        token_plot,
    },
    series::{
        newest_token,
        waste::{Cause, Waste},
    },
    shared::Shared,
    state::{LaneState, RunState},
    theme::{self, lane_color},
    units::{axis_mebibytes, bytes, to_mebibytes, to_x},
};

/// Beside a bar: the name and the bytes.
const NUMBERS_WIDTH: f32 = 270.0;
/// Of a colour in the legend.
const SAMPLE_SIZE: f32 = 12.0;

/// What is used has the lane's colour, what is wasted is grey: the darker the worse.
fn color(cause: Cause, lane: Color32, visuals: &Visuals) -> Color32 {
    let grey = |strength: f32| visuals.extreme_bg_color.lerp_to_gamma(visuals.text_color(), strength);
    match cause {
        Cause::Numbers => lane,
        Cause::Scales => visuals.extreme_bg_color.lerp_to_gamma(lane, 0.66),
        Cause::Residual => visuals.extreme_bg_color.lerp_to_gamma(lane, 0.4),
        Cause::Dead => grey(0.75),
        Cause::Tail => grey(0.42),
        Cause::Unused => grey(0.17),
    }
}

/// Chooses one lane, or all of them.
pub fn lane_choice(ui: &mut Ui, run: &RunState, chosen: &mut Option<usize>) {
    ui.selectable_value(chosen, None, "all lanes").on_hover_text("A bar for each lane, at its newest token");
    for (index, lane) in run.lanes.iter().enumerate() {
        let text = RichText::new(&lane.name).color(lane_color(index, ui.visuals()));
        let response = ui.selectable_value(chosen, Some(index), text);
        let name = format!("waste of {}", lane.name);
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, *chosen == Some(index), &name));
        response.on_hover_text("Where its bytes go, token by token");
    }
}

/// Areas of the chosen lane, or bars of all that are shown.
pub fn show(ui: &mut Ui, run: &RunState, shared: &Shared, chosen: Option<usize>) {
    match chosen.and_then(|index| Some((index, run.lanes.get(index)?))) {
        Some((index, lane)) => areas(ui, run, shared, index, lane),
        None => bars(ui, run),
    }
}

fn areas(ui: &mut Ui, run: &RunState, shared: &Shared, index: usize, lane: &LaneState) {
    let shared = &shared.of_lane(index);
    let token = token_plot::cursor(ui.ctx(), run).unwrap_or_else(|| newest_token(run));
    let waste = lane.records.iter().find(|record| record.step == token).map(Waste::of);
    let visuals = ui.visuals().clone();
    let lane_color = lane_color(index, &visuals);
    legend(ui, &format!("token {token}:"), waste, |cause| color(cause, lane_color, &visuals));
    let xs: Vec<f64> = lane.records.iter().map(|record| to_x(record.step)).collect();
    let stacks: Vec<_> = lane.records.iter().map(|record| Waste::of(record).stack()).collect();
    let drawn = token_plot::new(ui, run, ("waste", index))
        .height(ui.available_height().max(60.0))
        .x_axis_label("generated token")
        .y_axis_label("reserved")
        .y_grid_spacer(axes::mebibytes)
        .y_axis_formatter(|mark, _| axis_mebibytes(mark.value))
        .label_formatter(token_plot::hover(run, shared, |_| String::new()))
        .include_y(0.0)
        .show(ui, |plot| {
            for cause in Cause::ALL {
                let edge = |side: fn((u64, u64)) -> u64| -> Vec<f64> {
                    stacks.iter().map(|stack| to_mebibytes(side(stack[cause as usize]))).collect()
                };
                let area = FilledArea::new(cause.name(), &xs, &edge(|(low, _)| low), &edge(|(_, high)| high));
                plot.add(area.fill_color(color(cause, lane_color, &visuals)).allow_hover(false));
            }
            token_plot::draw_marks(plot, run, shared);
        });
    let name = format!("waste plot of {}, newest token: {}", lane.name, words(lane.records.last().map(Waste::of)));
    token_plot::finish(ui, run, &drawn, &name);
}

fn bars(ui: &mut Ui, run: &RunState) {
    let visuals = ui.visuals().clone();
    let rows: Vec<(usize, &str, Option<Waste>)> = run
        .shown_lanes()
        .map(|(index, lane)| (index, lane.name.as_str(), lane.records.last().map(Waste::of)))
        .collect();
    let most = rows.iter().filter_map(|(_, _, waste)| waste.map(Waste::sum)).max().unwrap_or(0);
    // What is used has each lane's own colour in the bars.
    let sample = rows.iter().find(|(_, _, waste)| waste.is_some_and(|waste| waste.sum() > 0)).map_or(0, |row| row.0);
    legend(ui, "newest token:", None, |cause| color(cause, lane_color(sample, &visuals), &visuals));
    let width = (ui.available_width() - NUMBERS_WIDTH).max(60.0);
    let area = ScrollArea::both().id_salt("waste").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new(("waste", run.id)).spacing([14.0, 6.0]).show(ui, |ui| {
            for (index, name, waste) in &rows {
                theme::lane_name(ui, *index, name);
                let waste = waste.unwrap_or_default();
                let part = |cause: Cause| {
                    let share = share(to_mebibytes(waste.bytes(cause)), to_mebibytes(most));
                    (share, color(cause, lane_color(*index, &visuals), &visuals))
                };
                bar(ui, width, &Cause::ALL.map(part)).on_hover_text(words(Some(waste)).replace(", ", "\n"));
                let text = RichText::new(bytes(waste.sum())).monospace();
                ui.add(Label::new(text).wrap_mode(TextWrapMode::Extend)).on_hover_text("reserved");
                ui.end_row();
            }
        });
    });
    let row = |(_, name, waste): &(usize, &str, Option<Waste>)| format!("{name}: {}", words(*waste));
    let name = format!("waste plot of all lanes, {}", rows.iter().map(row).collect::<Vec<_>>().join("; "));
    let image = ui.interact(area.inner_rect, ui.scope_id().with("waste plot"), Sense::hover());
    image.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// The causes with their colours, and their bytes where `waste` is known.
fn legend(ui: &mut Ui, title: &str, waste: Option<Waste>, color: impl Fn(Cause) -> Color32) {
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(title).small());
        for cause in Cause::ALL {
            let text = waste.map_or_else(|| cause.name().into(), |waste| line(cause, waste));
            // Room for the longest number, or the row would break elsewhere with every token.
            let longest = if waste.is_some() { format!("{} 0000 MiB", cause.name()) } else { text.clone() };
            let font = TextStyle::Small.resolve(ui.style());
            let width = ui.painter().layout_no_wrap(longest, font, Color32::WHITE).size().x;
            let size = vec2(SAMPLE_SIZE + ui.spacing().item_spacing.x + width, ui.text_style_height(&TextStyle::Small));
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(SAMPLE_SIZE, SAMPLE_SIZE), Sense::hover());
                ui.painter().rect_filled(rect, 2.0, color(cause));
                ui.label(RichText::new(text).small()).on_hover_text(cause.help());
            });
        }
    });
}

fn line(cause: Cause, waste: Waste) -> String {
    format!("{} {}", cause.name(), bytes(waste.bytes(cause)))
}

/// All causes in words.
fn words(waste: Option<Waste>) -> String {
    waste.map_or_else(|| "nothing yet".into(), |waste| Cause::ALL.map(|cause| line(cause, waste)).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::series::test_runs::record, engine::StepRecord};

    #[test]
    fn causes_are_said_with_their_bytes() {
        let kibi = 1 << 10;
        let step = StepRecord {
            reserved_bytes: 9 * kibi,
            held_bytes: 6 * kibi,
            used_bytes: 4 * kibi,
            dead_bytes: kibi,
            formula_bytes: 3 * kibi,
            scale_bytes: Some(kibi / 4),
            residual_bytes: Some(3 * kibi / 4),
            ..record(1, 0.1)
        };
        let said = "numbers 3.00 KiB, scales 0.250 KiB, residual 0.750 KiB, dead 1.00 KiB, block tail 1.00 KiB, \
            unused 3.00 KiB";
        assert_eq!(words(Some(Waste::of(&step))), said);
        assert_eq!(words(None), "nothing yet");
    }

    #[test]
    fn every_cause_has_a_colour_of_its_own_in_both_themes() {
        for visuals in [Visuals::dark(), Visuals::light()] {
            let colors = Cause::ALL.map(|cause| color(cause, lane_color(0, &visuals), &visuals));
            assert!((0..colors.len()).all(|a| !colors[..a].contains(&colors[a])), "{colors:?}");
        }
    }
}
