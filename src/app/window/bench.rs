//! The window measures itself: a script of a run, a rest and a replay, and what each frame of them took.
//!
//! The bars are those of a window that does not get in the way of what it watches (`docs/runs/window.md`).

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use egui::{Context, ViewportCommand};
use serde::Serialize;

use super::App;
use crate::{
    app::{pane::Pane, state::Phase},
    measure::{
        memory::{cpu_secs, resident_bytes},
        stats::percentile,
    },
};

/// Four lanes that fill the context of the story model.
pub const LANES: &str = "contiguous,paged:16,paged:16+int8,paged:16+window:4/508";
/// The context of the story model: prompt and generated tokens.
pub const CONTEXT: usize = 1024;
/// Frames count from here on: the run has nearly all its tokens, and the engine computes.
const FULL_SHARE: f64 = 0.75;
/// Runs, so that there are enough such frames.
const RUNS: usize = 3;
/// How long nothing may be drawn.
const REST: Duration = Duration::from_secs(10);
/// A replay of an hour at the speed at which traces play.
const REPLAY_ROUNDS: usize = 30 * 3_600;
/// How much faster it plays.
const REPLAY_SPEED: f64 = 2_000.0;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Milliseconds of work of a frame while the engine ran with nearly all tokens: layout, tessellation and handing it to OpenGL.
    pub frames: usize,
    pub frame_p50_ms: f64,
    pub frame_p95_ms: f64,
    pub frame_p99_ms: f64,
    pub frame_max_ms: f64,
    /// Frames in ten seconds after the run, and the share of one processor that the whole program took.
    pub idle_frames: usize,
    pub idle_cpu_percent: f64,
    /// Rounds that were played, and resident memory after the first tenth and at the end.
    pub replayed_rounds: usize,
    pub replay_first_bytes: u64,
    pub replay_last_bytes: u64,
    /// From the start of the program's window to its first frame.
    pub first_frame_ms: f64,
}

/// A report that outlives the window.
pub type Shared = Arc<Mutex<Option<Report>>>;

enum Stage {
    /// The number of the run.
    Running(usize),
    Resting {
        since: Instant,
        cpu_secs: f64,
        frames: usize,
    },
    Replaying {
        rounds: usize,
        last_round: usize,
    },
    Done,
}

/// The script, and how far it is.
pub struct Bench {
    stage: Stage,
    work_secs: Vec<f64>,
    started: Instant,
    report: Report,
    shared: Shared,
}

impl Bench {
    #[must_use]
    pub fn new(shared: Shared, started: Instant) -> Self {
        Self { stage: Stage::Running(1), work_secs: vec![], started, report: Report::default(), shared }
    }
}

impl App {
    /// One frame of the script; `work_secs` is what the frame before took.
    pub(super) fn bench_frame(&mut self, ctx: &Context, work_secs: Option<f32>) {
        let Some(mut bench) = self.bench.take() else { return };
        if bench.report.first_frame_ms == 0.0 {
            bench.report.first_frame_ms = bench.started.elapsed().as_secs_f64() * 1e3;
        }
        match &mut bench.stage {
            Stage::Running(number) => {
                let (done, all) = (self.run.progress(), self.run.tokens);
                if self.run.phase == Phase::Running && is_full(done, all) {
                    bench.work_secs.extend(work_secs.map(f64::from));
                }
                if self.run.phase == Phase::Finished && *number < RUNS {
                    *number += 1;
                    self.act(crate::app::panels::controls::Action::Rerun);
                } else if self.run.phase.is_over() {
                    bench.summarise();
                    bench.stage = Stage::Resting { since: Instant::now(), cpu_secs: cpu_secs(), frames: 0 };
                    wake_after(ctx, REST);
                }
            }
            Stage::Resting { since, cpu_secs: before, frames } => {
                *frames += 1;
                if since.elapsed() >= REST {
                    let share = (cpu_secs() - *before) / since.elapsed().as_secs_f64();
                    // The frame that looks at the clock is no repaint.
                    (bench.report.idle_frames, bench.report.idle_cpu_percent) = (*frames - 1, 100.0 * share);
                    bench.stage = Stage::Replaying { rounds: 0, last_round: 0 };
                }
            }
            Stage::Replaying { rounds, last_round } => {
                if let Some(timeline) = &mut self.timeline {
                    timeline.rounds_per_sec = REPLAY_SPEED;
                    if !timeline.is_playing {
                        timeline.toggle(&self.run);
                        *last_round = 0;
                    }
                    *rounds += timeline.round().saturating_sub(*last_round);
                    *last_round = timeline.round();
                } else {
                    *rounds = REPLAY_ROUNDS;
                }
                if bench.report.replay_first_bytes == 0 && *rounds >= REPLAY_ROUNDS / 10 {
                    bench.report.replay_first_bytes = resident_bytes();
                }
                if *rounds >= REPLAY_ROUNDS {
                    (bench.report.replayed_rounds, bench.report.replay_last_bytes) = (*rounds, resident_bytes());
                    *bench.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(bench.report.clone());
                    bench.stage = Stage::Done;
                    ctx.send_viewport_cmd(ViewportCommand::Close);
                }
                ctx.request_repaint();
            }
            Stage::Done => {}
        }
        self.bench = Some(bench);
    }
}

impl Bench {
    fn summarise(&mut self) {
        let at = |percent: f64| percentile(&self.work_secs, percent).unwrap_or(f64::NAN) * 1e3;
        self.report = Report {
            frames: self.work_secs.len(),
            frame_p50_ms: at(50.0),
            frame_p95_ms: at(95.0),
            frame_p99_ms: at(99.0),
            frame_max_ms: at(100.0),
            ..self.report.clone()
        };
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of some tokens")]
fn is_full(done: usize, all: usize) -> bool {
    done as f64 >= FULL_SHARE * all as f64
}

/// Nothing in the window asks for a frame while it rests.
fn wake_after(ctx: &Context, rest: Duration) {
    let ctx = ctx.clone();
    let wake = move || {
        thread::sleep(rest);
        ctx.request_repaint();
    };
    // Without a thread the rest ends with the next frame, whatever asks for it.
    drop(thread::Builder::new().name("wake".into()).spawn(wake));
}

impl Report {
    /// What was measured beside what is wanted; true where all of it is.
    ///
    /// # Errors
    /// Those of writing.
    pub fn print(&self, out: &mut impl Write) -> io::Result<bool> {
        let mut all = true;
        let mut row = |what: &str, measured: String, bar: &str, is_met: bool| {
            all &= is_met;
            writeln!(out, "{what:<44} {measured:>14}   bar {bar:<10} {}", if is_met { "met" } else { "MISSED" })
        };
        let Self { frame_p95_ms, idle_frames, idle_cpu_percent, .. } = self;
        row("frame while the engine runs, p95", format!("{frame_p95_ms:.1} ms"), "16 ms", *frame_p95_ms < 16.0)?;
        row("frames in 10 s of rest", idle_frames.to_string(), "0", *idle_frames == 0)?;
        row("processor at rest", format!("{idle_cpu_percent:.2} %"), "1 %", *idle_cpu_percent < 1.0)?;
        let growth = self.growth();
        let words = format!("{:+.1} %", 100.0 * growth);
        row("memory over an hour of replay", words, "5 %", growth < 0.05)?;
        row("first frame", format!("{:.0} ms", self.first_frame_ms), "1000 ms", self.first_frame_ms < 1e3)?;
        writeln!(
            out,
            "\n{} frames of work: p50 {:.1}, p99 {:.1}, largest {:.1} ms. {} rounds replayed; resident {} MiB after a tenth, {} MiB at the end.",
            self.frames,
            self.frame_p50_ms,
            self.frame_p99_ms,
            self.frame_max_ms,
            self.replayed_rounds,
            self.replay_first_bytes >> 20,
            self.replay_last_bytes >> 20,
        )?;
        Ok(all)
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    fn growth(&self) -> f64 {
        self.replay_last_bytes as f64 / self.replay_first_bytes.max(1) as f64 - 1.0
    }
}

/// What the script shows: the run and a picture of its attention, side by side.
pub const PANES: (Pane, Pane) = (Pane::Cost, Pane::Attention);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_missed() {
        let good = Report {
            frame_p95_ms: 9.0,
            idle_cpu_percent: 0.1,
            replay_first_bytes: 100 << 20,
            replay_last_bytes: 101 << 20,
            ..Report::default()
        };
        let print = |report: &Report| {
            let mut text = vec![];
            let is_met = report.print(&mut text).expect("memory");
            (is_met, String::from_utf8(text).expect("utf8"))
        };
        assert!(print(&good).0 && !print(&good).1.contains("MISSED"));
        for bad in [
            Report { frame_p95_ms: 17.0, ..good.clone() },
            Report { frame_p95_ms: f64::NAN, ..good.clone() },
            Report { idle_frames: 1, ..good.clone() },
            Report { replay_last_bytes: 110 << 20, ..good.clone() },
        ] {
            let (is_met, text) = print(&bad);
            assert!(!is_met && text.matches("MISSED").count() == 1, "{text}");
        }
    }
}
