//! Quality in the window: what a person asks for, what the engine tells of it, and what the window knows. Free of egui.

pub mod recall;

use std::time::Instant;

use crate::{
    cache::{Lane, spec::parse_lanes},
    experiment::quality::{LaneQuality, PositionQuality, QualitySettings, exact_lane},
    measure::device::DeviceChoice,
    model::ModelSource,
};

use super::{
    form::Form,
    state::Phase,
    units::to_x,
    worker::{Event, Facts, What},
};

/// All held-out stories.
pub const MOST_STORIES: usize = 32;

/// What a person asks for beside the lanes, and how stories are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QualityForm {
    /// How many of the held-out stories are read; only this is a field of the window.
    pub stories: usize,
    /// Only the first tokens of each are read.
    pub tokens: usize,
    pub settings: QualitySettings,
}

impl Default for QualityForm {
    /// Stories are read one after another: numbers come sooner, a cancel is heard sooner, and `kvlab quality --batch 1`
    /// gives the same to the last digit.
    fn default() -> Self {
        Self { stories: 4, tokens: usize::MAX, settings: QualitySettings { batch: 1, ..QualitySettings::default() } }
    }
}

/// Everything that defines a measurement, always of the story model.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureSettings {
    pub device: DeviceChoice,
    /// What is measured: the lanes of the form that store something, and the exact one.
    pub lanes: Vec<Lane>,
    /// Which of the lanes in the form each is, for its colour; the exact one is after them where it is none of them.
    pub numbers: Vec<usize>,
    /// `none` was among the lanes in the form.
    pub skips_none: bool,
    /// The exact one was not.
    pub adds_exact: bool,
    pub quality: QualityForm,
}

impl QualityForm {
    /// All that is needed to see how far back lanes recall: every story, and no texts that lanes go on with by themselves.
    #[must_use]
    pub fn recall_test(self) -> Self {
        Self { stories: MOST_STORIES, settings: QualitySettings { greedy_tokens: 0, ..self.settings }, ..self }
    }

    /// # Errors
    /// Why there is nothing to measure.
    pub fn check(&self, form: &Form) -> Result<MeasureSettings, String> {
        let model = form.model.trim();
        let source: ModelSource = model.parse().map_err(|error| format!("There is an error in the model: {error}"))?;
        if source != ModelSource::Story {
            return Err(format!(
                "Quality is measured here on the held-out stories of `story`, whose recalled facts are marked; there are no \
                 such texts for `{model}`. `kvlab quality --model {model} --text FILE` measures it on a text of yours"
            ));
        }
        let asked = parse_lanes(&form.lanes).map_err(|error| format!("There is an error in the lanes: {error}"))?;
        let is_cached = |lane: &Lane| matches!(lane, Lane::Cache(_));
        let skips_none = asked.iter().any(|lane| !is_cached(lane));
        let cached = asked.iter().copied().enumerate().filter(|(_, lane)| is_cached(lane));
        let (mut numbers, mut lanes): (Vec<usize>, Vec<Lane>) = cached.unzip();
        if lanes.is_empty() {
            return Err("No lane stores anything, so nothing can be lost; give one with a cache".into());
        }
        let adds_exact = !lanes.contains(&exact_lane());
        if adds_exact {
            numbers.push(asked.len());
            lanes.push(exact_lane());
        }
        Ok(MeasureSettings { device: form.device, lanes, numbers, skips_none, adds_exact, quality: *self })
    }
}

/// How far a measurement is, and its numbers so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QualityReport {
    pub done_steps: usize,
    pub all_steps: usize,
    /// The last story that is being read now, counted from 1; that of the end once all are read.
    pub story: usize,
    pub stories: usize,
    pub lanes: Vec<LaneQuality>,
    /// Of each lane.
    pub positions: Vec<Vec<PositionQuality>>,
}

/// A measurement as the window shows it.
#[derive(Clone, Debug, Default)]
pub struct QualityState {
    pub id: u64,
    pub phase: Phase,
    pub facts: Option<Facts>,
    pub settings: Option<MeasureSettings>,
    /// None until the engine has told something.
    pub report: Option<QualityReport>,
    pub error: Option<String>,
    /// When the first step began.
    started: Option<Instant>,
    /// From then to the newest report.
    elapsed_secs: f64,
}

impl QualityState {
    /// A measurement whose first event has not come yet.
    #[must_use]
    pub fn new(id: u64, settings: MeasureSettings) -> Self {
        Self { id, phase: Phase::Loading { done: 0, all: 0 }, settings: Some(settings), ..Self::default() }
    }

    /// Takes an event in; those of other runs are too late and change nothing.
    pub fn apply(&mut self, event: Event) {
        if event.run != self.id || !self.phase.is_active() {
            return;
        }
        match event.what {
            What::Loading { done, all } => self.phase = Phase::Loading { done, all },
            What::Calibrating { done, all } => self.phase = Phase::Calibrating { done, all },
            What::Ready(facts) => self.facts = Some(*facts),
            What::Running => {
                self.phase = Phase::Measuring;
                self.started = Some(Instant::now());
            }
            What::Quality(report) => {
                self.report = Some(*report);
                self.elapsed_secs = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
            }
            What::Finished => self.phase = Phase::Finished,
            What::Cancelled => self.phase = Phase::Cancelled,
            What::Failed(message) => self.fail(message),
            What::Downloading { .. }
            | What::Header(_)
            | What::Lane(_)
            | What::Layers { .. }
            | What::Inspected { .. }
            | What::Paused
            | What::Refused(_) => {}
        }
    }

    /// Ends it with a message; what was measured stays.
    pub fn fail(&mut self, message: String) {
        self.phase = Phase::Failed;
        self.error = Some(message);
    }

    /// Something else was begun in its place.
    pub fn give_way(&mut self) {
        if self.phase.is_active() {
            self.phase = Phase::Cancelled;
        }
    }

    /// How far it is, between 0 and 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a bar shows it")]
    pub fn share(&self) -> f32 {
        match (&self.phase, &self.report) {
            (Phase::Loading { done, all } | Phase::Calibrating { done, all }, _) if *all > 0 => {
                *done as f32 / *all as f32
            }
            (_, Some(report)) if report.all_steps > 0 => report.done_steps as f32 / report.all_steps as f32,
            _ => 0.0,
        }
    }

    /// Where it stands, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let place = self.report.as_ref().map(|report| {
            let QualityReport { story, stories, .. } = report;
            // Only what is done is 100 %.
            format!("story {story} of {stories}, {:.0} %", (100.0 * self.share()).floor())
        });
        let place = || place.unwrap_or_else(|| "nothing was measured".into());
        match &self.phase {
            Phase::Empty => "ready".into(),
            Phase::Loading { all: 0, .. } => "starting".into(),
            Phase::Loading { done, all } => format!("loading the model: {done} of {all} tensors"),
            Phase::Finished => match self.report.as_ref().map_or(0, |report| report.stories) {
                1 => "measured on 1 story".into(),
                stories => format!("measured on {stories} stories"),
            },
            Phase::Cancelled => format!("cancelled: {}", place()),
            Phase::Failed => format!("failed: {}", place()),
            _ if self.report.is_none() => "measuring".into(),
            _ => format!("measuring: {}", place()),
        }
    }

    /// How many steps took how long, and how long the others will take at that pace; `None` before the first step.
    #[must_use]
    pub fn pace(&self) -> Option<String> {
        let QualityReport { done_steps, all_steps, .. } =
            self.report.as_ref().filter(|report| report.done_steps > 0)?;
        let mut words = format!("{done_steps} of {all_steps} steps in {:.0} s", self.elapsed_secs);
        if self.phase.is_active() {
            let left = self.elapsed_secs * to_x(all_steps.saturating_sub(*done_steps)) / to_x(*done_steps);
            words.push_str(&format!(", about {left:.0} s left"));
        }
        Some(words)
    }

    /// Why one that is over did not measure all that was asked.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failed_lane = || {
            let lanes = &self.report.as_ref()?.lanes;
            lanes.iter().find_map(|lane| Some(format!("{}: {}", lane.lane, lane.failed.as_ref()?)))
        };
        match self.phase {
            Phase::Failed => Some(self.error.clone().unwrap_or_else(|| "it failed".into())),
            Phase::Cancelled => Some("it was cancelled".into()),
            _ => failed_lane(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Options;

    fn check(lanes: &str) -> Result<MeasureSettings, String> {
        QualityForm::default().check(&Options { lanes: lanes.into(), ..Options::default() }.form())
    }

    #[test]
    fn lanes_keep_their_colours_and_the_exact_one_is_there() {
        let settings = check("none,contiguous,paged:16").expect("two lanes");
        assert_eq!((settings.numbers, settings.skips_none), (vec![1, 2], true));
        let settings = check("paged:16,none,paged:8").expect("two lanes");
        assert_eq!(settings.numbers, [0, 2, 3]);
        assert_eq!(settings.lanes.last(), Some(&exact_lane()));
    }

    #[test]
    fn what_cannot_be_measured_is_explained() {
        assert!(check("none").is_err_and(|message| message.contains("No lane stores anything")));
        assert!(check("cloud").is_err_and(|message| message.contains("unknown layout `cloud`")));
        let form = Options { model: "shape:gpt2".into(), ..Options::default() }.form();
        let message = QualityForm::default().check(&form).expect_err("no texts");
        assert!(message.contains("`kvlab quality --model shape:gpt2 --text FILE`"), "{message}");
    }

    #[test]
    fn what_is_left_is_projected_from_what_is_done() {
        let report = QualityReport { done_steps: 250, all_steps: 1000, ..QualityReport::default() };
        let mut state = QualityState::new(7, check("paged:16").expect("a lane"));
        assert_eq!(state.pace(), None);
        (state.phase, state.report, state.elapsed_secs) = (Phase::Measuring, Some(report), 10.0);
        assert_eq!(state.pace().as_deref(), Some("250 of 1000 steps in 10 s, about 30 s left"));
        state.phase = Phase::Cancelled;
        assert_eq!(state.pace().as_deref(), Some("250 of 1000 steps in 10 s"));
    }

    #[test]
    fn a_recall_test_reads_every_story_and_generates_nothing() {
        let form = QualityForm { stories: 2, tokens: 300, ..QualityForm::default() }.recall_test();
        assert_eq!((form.stories, form.tokens, form.settings.greedy_tokens), (MOST_STORIES, 300, 0));
    }

    #[test]
    fn events_of_another_run_or_after_the_end_change_nothing() {
        let mut state = QualityState::new(7, check("paged:16").expect("a lane"));
        let report = QualityReport { done_steps: 3, all_steps: 4, story: 2, stories: 3, ..QualityReport::default() };
        let told = |run, what| Event { run, what };
        state.apply(told(6, What::Finished));
        state.apply(told(7, What::Running));
        state.apply(told(7, What::Quality(Box::new(report.clone()))));
        assert_eq!(state.words(), "measuring: story 2 of 3, 75 %");
        state.apply(told(7, What::Cancelled));
        state.apply(told(7, What::Quality(Box::default())));
        assert_eq!((state.words().as_str(), state.report), ("cancelled: story 2 of 3, 75 %", Some(report)));
    }
}
