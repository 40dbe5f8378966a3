//! A key or a value, channel by channel: exact numbers as light bars, stored ones as dots.

use egui::{Align, Label, Rect, RichText, Role, Sense, Ui, WidgetInfo, vec2};
use egui_plot::{Bar, BarChart, HoverPosition, Line, Plot, PlotPoints, Points, VLine};

use super::{
    Context, View, Which,
    words::{self, Loss},
};
use crate::{
    app::{
        theme,
        units::{quoted, to_x},
    },
    engine::{InspectedRow, Inspection, Stored},
};

pub fn show(ui: &mut Ui, view: &mut View, found: &Inspection, row: &InspectedRow, context: &Context<'_>, height: f32) {
    let (name, help) = match view.which {
        Which::Key => ("Key", words::KEY),
        Which::Value => ("Value", words::VALUE),
    };
    let token = quoted((context.token_text)(found.position));
    let title =
        format!("{name} of token {} {token} in layer {}, head {}", found.position, found.layer + 1, found.head + 1);
    ui.add(Label::new(RichText::new(title).strong()).halign(Align::LEFT).wrap()).on_hover_text(help);
    let stored = row.stored.numbers();
    if let Some(stored) = stored {
        let is_open = matches!(row.stored, Stored::Exact(_));
        let words = Loss::between(&row.exact, stored).words();
        let text = if is_open {
            words::state(&row.stored).map_or(words.clone(), |state| format!("{state}. {words}"))
        } else {
            words
        };
        ui.add(Label::new(text).halign(Align::LEFT).wrap()).on_hover_text(words::RMS);
    } else if let Some(state) = words::state(&row.stored) {
        ui.add(Label::new(RichText::new(state).color(theme::WARNING.on(ui.visuals()))).halign(Align::LEFT).wrap());
    }
    let has_groups = matches!(&row.stored, Stored::Decoded { groups: Some(groups), .. } if !groups.groups.is_empty());
    legend(ui, context.lane, stored.is_some(), has_groups);
    plot(ui, view, (&row.exact, stored), context, height);
}

fn legend(ui: &mut Ui, lane: usize, has_stored: bool, has_groups: bool) {
    ui.horizontal(|ui| {
        let (light, color) = (theme::grid_color(ui.visuals()), theme::lane_color(lane, ui.visuals()));
        let bar = swatch(ui);
        ui.painter().rect_filled(bar, 1.0, light);
        ui.label(RichText::new("exact").small()).on_hover_text(words::EXACT);
        if has_stored {
            let dot = swatch(ui);
            ui.painter().circle_filled(dot.center(), 4.0, color);
            ui.label(RichText::new("stored").small()).on_hover_text(words::STORED);
        }
        if has_groups {
            ui.label(RichText::new("click a channel to see its group").small().weak()).on_hover_text(words::CHANNEL);
        }
    });
}

/// Room for a sample of what is drawn.
fn swatch(ui: &mut Ui) -> Rect {
    ui.allocate_exact_size(vec2(10.0, 12.0), Sense::hover()).0
}

fn plot(ui: &mut Ui, view: &mut View, (exact, stored): (&[f32], Option<&[f32]>), context: &Context<'_>, height: f32) {
    let visuals = ui.visuals();
    let (light, grid) = (theme::grid_color(visuals), theme::grid_color(visuals));
    let (color, chosen) = (theme::lane_color(context.lane, visuals), theme::CHOSEN.on(visuals));
    let finite = |x: f32| if x.is_finite() { f64::from(x) } else { 0.0 };
    let plot = Plot::new(("inside row", view.which == Which::Key))
        .height(height)
        .x_axis_label("channel")
        .y_axis_min_width(48.0)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_boxed_zoom(false)
        .show_grid([false, true])
        .grid_color(grid)
        .label_formatter(|at| hover(at, exact, stored));
    let response = plot.show(ui, |plot| {
        plot.vline(
            VLine::new("chosen channel", to_x(view.channel))
                .color(chosen.gamma_multiply(0.5))
                .width(1.5)
                .allow_hover(false),
        );
        let bars =
            exact.iter().enumerate().map(|(channel, x)| Bar::new(to_x(channel), finite(*x)).width(0.7).fill(light));
        plot.bar_chart(
            BarChart::new("exact", bars.map(|bar| bar.stroke(egui::Stroke::NONE)).collect())
                .color(light)
                .allow_hover(false),
        );
        let Some(stored) = stored else { return };
        let points: Vec<[f64; 2]> = stored.iter().enumerate().map(|(channel, x)| [to_x(channel), finite(*x)]).collect();
        for (channel, (exact, stored)) in exact.iter().zip(stored).enumerate() {
            let error = vec![[to_x(channel), finite(*exact)], [to_x(channel), finite(*stored)]];
            plot.line(Line::new("error", PlotPoints::from(error)).color(color).width(2.0).allow_hover(false));
        }
        plot.points(Points::new("stored", points).color(color).radius(3.5));
    });
    if response.response.clicked()
        && let Some(at) = response.response.interact_pointer_pos()
    {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a channel")]
        let channel = response.transform.value_from_position(at).x.round().max(0.0) as usize;
        view.channel = channel.min(exact.len().saturating_sub(1));
    }
    let kind = if view.which == Which::Key { "key" } else { "value" };
    let drawn = if stored.is_some() { "exact and stored" } else { "exact only" };
    let name = format!("{kind} by channel: {} numbers, {drawn}", exact.len());
    response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

fn hover(at: &HoverPosition<'_>, exact: &[f32], stored: Option<&[f32]>) -> Option<String> {
    let HoverPosition::NearDataPoint { position, .. } = at else { return None };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a channel")]
    let channel = position.x.round().max(0.0) as usize;
    let exact = f64::from(*exact.get(channel)?);
    let stored = f64::from(*stored?.get(channel)?);
    let (exact_words, stored_words) = (words::number(exact), words::number(stored));
    Some(format!(
        "channel {channel}\nexact {exact_words}\nstored {stored_words}\nerror {}",
        words::number(stored - exact)
    ))
}
