//! Lines over tokens: the bytes of each cache, and below them the bytes it copied.

use egui::Ui;
use egui_plot::{Line, PlotPoints};

use super::series::{Series, Shown};
use crate::{
    app::{
        decimate::{decimate, straighten, visible},
        panels::{
            axes,
            token_plot::{self, Readout, x_range},
        },
        series::waste::for_users,
        shared::Shared,
        state::RunState,
        theme::{lane_color, line_width},
        units::{axis_mebibytes, bytes, to_mebibytes, to_x},
    },
    engine::StepRecord,
};

/// Of the height, what the levels have where copies are drawn too.
const LEVEL_SHARE: f32 = 0.55;

/// The plots, and the values under the pointer. With `users` all bytes are multiplied, and copies are left out.
pub fn show(ui: &mut Ui, run: &RunState, shared: &Shared, shown: Shown, users: Option<u64>, is_small: bool) {
    let draws_copies = users.is_none() && shown.has(Series::Copied) && run.has_copied();
    let value = |lane: usize, token: usize| {
        let record = run.lanes.get(lane)?.records.iter().find(|record| record.step == token)?;
        let users = users.unwrap_or(1);
        Some(if is_small { bytes(for_users(record.used_bytes, users)) } else { words(record, users, draws_copies) })
    };
    let title = if is_small { "used" } else { "used of reserved" };
    let readout = Readout { is_small, run, title, value: &value };
    let height = (ui.available_height() - readout.height(ui)).max(60.0);
    let level_height = if draws_copies { (height * LEVEL_SHARE).max(60.0) } else { height };
    let levels = shown.levels(run);
    let plot = TokenBytes { run, shared, users: users.unwrap_or(1) };
    let name = users.map_or_else(|| "memory".into(), |users| format!("memory of {users} users"));
    plot.show(ui, &name, "memory", &levels, level_height, !draws_copies);
    if draws_copies {
        let gap = ui.spacing().item_spacing.y;
        plot.show(ui, "copied", "copied", &[Series::Copied], height - level_height - gap, true);
    }
    readout.show(ui);
}

/// A plot of bytes.
struct TokenBytes<'a> {
    run: &'a RunState,
    shared: &'a Shared,
    users: u64,
}

impl TokenBytes<'_> {
    fn show(&self, ui: &mut Ui, name: &str, axis: &'static str, series: &[Series], height: f32, has_x_label: bool) {
        let Self { run, shared, users } = *self;
        let columns = token_plot::columns(ui);
        let mut plot = token_plot::new(ui, run, (axis, users))
            .height(height.max(40.0))
            .y_axis_label(axis)
            .y_grid_spacer(axes::mebibytes)
            .y_axis_formatter(|mark, _| axis_mebibytes(mark.value))
            .label_formatter(token_plot::hover(run, shared, of_mebibytes))
            .include_y(0.0);
        if has_x_label {
            plot = plot.x_axis_label("generated token");
        }
        let visuals = ui.visuals().clone();
        let drawn = plot.show(ui, |plot| {
            for (index, lane) in run.shown_lanes() {
                for series in series.iter().filter(|series| **series != Series::Dead || lane.has_dead()) {
                    let bytes = |record: &StepRecord| to_mebibytes(for_users(series.bytes(record), users));
                    let points = lane.records.iter().map(|record| [to_x(record.step), bytes(record)]).collect();
                    let points = visible(straighten(points), x_range(plot));
                    let name = format!("{}, {}", lane.name, series.name());
                    let line = Line::new(name, PlotPoints::from(decimate(points, columns)));
                    let width = if *series == Series::Formula { 2.0 } else { width(index, run.lanes.len()) };
                    let line = line
                        .color(lane_color(index, &visuals))
                        .style(series.style())
                        .width(line_width(width, &visuals));
                    plot.line(line.id((index, series.name())));
                }
            }
            token_plot::draw_marks(plot, run, shared);
        });
        let names: Vec<&str> = series.iter().map(|series| series.name()).collect();
        token_plot::finish(ui, run, &drawn, &format!("{name} plot: {}", names.join(", ")));
    }
}

/// Caches often take exactly the same; earlier lanes are wider, so that they show behind later ones.
fn width(index: usize, lanes: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let behind = lanes.saturating_sub(index + 1) as f32;
    (1.6 + 1.1 * behind).min(4.9)
}

/// Bytes as a person reads them, of an axis in MiB.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a plot")]
fn of_mebibytes(mebibytes: f64) -> String {
    bytes((mebibytes * f64::from(1 << 20)).round() as u64)
}

/// The bytes of a lane at one token, for `users`.
fn words(record: &StepRecord, users: u64, with_copies: bool) -> String {
    let of = |one: u64| bytes(for_users(one, users));
    let copied = match record.copied_bytes {
        copied if with_copies && copied > 0 => format!(", copied {}", bytes(copied)),
        _ => String::new(),
    };
    if record.reserved_bytes == 0 {
        return "nothing".into();
    }
    format!("{} of {}{copied}", of(record.used_bytes), of(record.reserved_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::record;

    #[test]
    fn bytes_are_said_with_their_unit_and_for_all_users() {
        let bytes =
            StepRecord { used_bytes: 1 << 20, reserved_bytes: 3 << 20, copied_bytes: 1 << 10, ..record(1, 0.1) };
        assert_eq!(words(&bytes, 1, true), "1.00 MiB of 3.00 MiB, copied 1.00 KiB");
        assert_eq!(words(&record(1, 0.1), 1, true), "nothing");
        assert_eq!(words(&bytes, 1024, false), "1.00 GiB of 3.00 GiB");
    }
}
