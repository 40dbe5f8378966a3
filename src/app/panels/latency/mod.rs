//! What each token of each lane took: token by token, summed up, spread, and against what the machine can do.

mod distribution;
mod prefill;
mod roofline;
mod tokens;

use egui::{RichText, Ui};

use super::token_plot;
use crate::app::{shared::Shared, state::RunState};

/// What the pane shows of the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    #[default]
    EachToken,
    Cumulative,
    Throughput,
    Distribution,
    Prefill,
    Roofline,
}

/// How the latencies are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub what: What,
    pub is_log: bool,
    /// The least time of each step is drawn, once the machine was measured.
    pub has_floor: bool,
    /// The first decode step is left out of percentiles.
    pub without_warm_up: bool,
}

impl Default for View {
    fn default() -> Self {
        Self { what: What::default(), is_log: false, has_floor: true, without_warm_up: false }
    }
}

impl What {
    const ALL: [Self; 6] =
        [Self::EachToken, Self::Cumulative, Self::Throughput, Self::Distribution, Self::Prefill, Self::Roofline];

    fn name(self) -> &'static str {
        match self {
            Self::EachToken => "each token",
            Self::Cumulative => "cumulative",
            Self::Throughput => "tokens/s",
            Self::Distribution => "distribution",
            Self::Prefill => "prefill",
            Self::Roofline => "roofline",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::EachToken => {
                "The time of each decode step as its caller sees it: the forward pass and the sampling of one token (inter-token \
                 latency, ITL). Token 0 comes from the prefill, which is another kind of work and has a view of its own."
            }
            Self::Cumulative => {
                "Seconds from a lane's start to each of its tokens: its own steps added up, the prefill included, the turns of \
                 other lanes not."
            }
            Self::Throughput => {
                "Tokens per second of one lane: the last 8 decode steps over the time they took together (fewer at the start)."
            }
            Self::Distribution => {
                "How the times of decode steps are spread: the box is the middle half (p25 to p75) with the median as a line, the \
                 whiskers go from p5 to p95."
            }
            Self::Prefill => {
                "Time to first token (TTFT): the pass over the whole prompt, and the sampling of the first token."
            }
            Self::Roofline => {
                "Each step by what it computes on each byte it reads, and by the operations per second it reached in its forward \
                 pass; both axes are logarithmic. The roofs were measured beside this run: reading this model's weights, wherever they lie, \
                 and f32 operations in registers. Instructions for shorter numbers can be faster than those."
            }
        }
    }

    fn has_log(self) -> bool {
        !matches!(self, Self::Prefill | Self::Roofline)
    }
}

/// The pane.
pub fn show(ui: &mut Ui, run: &mut RunState, view: &mut View, shared: &Shared) {
    let is_small = token_plot::is_small(ui);
    ui.horizontal_wrapped(|ui| {
        ui.strong("Latency");
        for what in What::ALL {
            let help = format!("{}\n{}", what.help(), token_plot::MOVING);
            ui.selectable_value(&mut view.what, what, what.name()).on_hover_text(help);
        }
        if view.what.has_log() {
            ui.checkbox(&mut view.is_log, "log scale")
                .on_hover_text("Every tenfold is equally far, so lanes of very different speed can be compared");
        }
        if view.what == What::Distribution {
            ui.checkbox(&mut view.without_warm_up, "without warm-up").on_hover_text(
                "Leaves the first decode step of each lane out: caches and threads may still be cold then",
            );
        }
        if matches!(view.what, What::EachToken | What::Roofline) {
            floor_switch(ui, view, shared);
        }
    });
    ui.horizontal_wrapped(|ui| token_plot::lane_switches(ui, run, "latency"));
    match view.what {
        What::EachToken | What::Cumulative | What::Throughput => tokens::show(ui, run, *view, shared, is_small),
        What::Distribution => distribution::show(ui, run, *view),
        What::Prefill => prefill::show(ui, run),
        What::Roofline => roofline::show(ui, run, shared),
    }
}

/// The floor's switch, or why there is no floor.
fn floor_switch(ui: &mut Ui, view: &mut View, shared: &Shared) {
    if shared.machine.is_some() {
        if view.what == What::EachToken {
            ui.checkbox(&mut view.has_floor, "floor").on_hover_text(
                "Dashed: the least time a step could take on this machine, reading its bytes or doing its operations, whichever \
                 is longer",
            );
        }
        return;
    }
    let text = if view.what == What::Roofline { "no roofs" } else { "no floor" };
    ui.label(RichText::new(text).weak()).on_hover_text(
        "What the machine can do at best is measured when a run begins on a CPU. It is not known of a GPU, nor of a run that an older kvlab recorded",
    );
}
