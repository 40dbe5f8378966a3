//! How long the window's frames take while it watches the engine.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::measure::stats::percentile;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Drawing it: layout, tessellation and painting, as eframe counts them, without waiting for the display.
    pub work_secs: f64,
    /// Since the frame before.
    pub interval_secs: f64,
    /// The run was under way.
    pub is_running: bool,
}

/// The frames of a window; clones share them, since the window is gone when they are read.
#[derive(Clone, Debug, Default)]
pub struct FrameTimes {
    frames: Arc<Mutex<Vec<Frame>>>,
    last: Option<Instant>,
}

impl FrameTimes {
    /// A frame begins; `work_secs` is what the last one took.
    pub fn push(&mut self, work_secs: Option<f32>, is_running: bool) {
        let now = Instant::now();
        let interval = self.last.replace(now).map(|last| now - last);
        if let (Some(work_secs), Some(interval)) = (work_secs, interval) {
            let frame = Frame { work_secs: work_secs.into(), interval_secs: interval.as_secs_f64(), is_running };
            self.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
        }
    }

    fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A row per frame: `frame,work_secs,interval_secs,is_running`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write_csv(&self, path: &Path) -> io::Result<()> {
        let mut text = String::from("frame,work_secs,interval_secs,is_running\n");
        for (index, frame) in self.frames().iter().enumerate() {
            let Frame { work_secs, interval_secs, is_running } = frame;
            text.push_str(&format!("{index},{work_secs:.6},{interval_secs:.6},{is_running}\n"));
        }
        fs::write(path, text)
    }

    /// Percentiles of the frames during the run, in milliseconds.
    ///
    /// # Errors
    /// Those of writing.
    pub fn summarise(&self, out: &mut impl Write) -> io::Result<()> {
        let frames: Vec<Frame> = self.frames().into_iter().filter(|frame| frame.is_running).collect();
        writeln!(out, "{} frames while the run was under way, in ms:", frames.len())?;
        let mut row = |name: &str, of: fn(&Frame) -> f64| {
            let values: Vec<f64> = frames.iter().map(of).collect();
            let at = |percent: f64| {
                percentile(&values, percent).map_or_else(|| "-".into(), |secs| format!("{:.1}", secs * 1e3))
            };
            writeln!(
                out,
                "{name:<28} p50 {:>6}  p90 {:>6}  p99 {:>6}  max {:>6}",
                at(50.0),
                at(90.0),
                at(99.0),
                at(100.0)
            )
        };
        row("work of a frame", |frame| frame.work_secs)?;
        row("from one frame to the next", |frame| frame.interval_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_of_the_run_are_summarised_and_all_are_written() {
        let mut times = FrameTimes::default();
        let seen_elsewhere = times.clone();
        times.push(None, false);
        times.push(Some(0.25), true);
        times.push(Some(0.5), false);
        let mut text = vec![];
        seen_elsewhere.summarise(&mut text).expect("memory");
        let text = String::from_utf8(text).expect("utf8");
        assert!(text.starts_with("1 frames") && text.contains("p50  250.0"), "{text}");
        let folder = tempfile::tempdir().expect("folder");
        seen_elsewhere.write_csv(&folder.path().join("frames.csv")).expect("writable");
        let csv = fs::read_to_string(folder.path().join("frames.csv")).expect("written");
        assert_eq!(csv.lines().count(), 3, "{csv}");
        assert!(csv.contains(",0.250000,"), "{csv}");
    }
}
