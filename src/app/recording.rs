//! All that happened in a run, kept in order: the window can go back to any moment of it, and write it down.
//!
//! A live run adds to its recording while it goes on; an opened trace is one that is over.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    path::{Path, PathBuf},
};

use super::{
    state::{Phase, RunState},
    worker::Facts,
};
use crate::{
    cache::{Lane, spec::parse_lanes},
    experiment::{
        LaneEvent,
        trace::{Header, Outcome, SecondPrompt, Trace, TraceWriter},
    },
    model::hub::name::short,
    report::{LaneResult, Results, files, plots, summarise, table},
};

/// A larger trace would fill the memory of a laptop.
const MOST_BYTES: u64 = 1 << 30;

/// A run, from its header to the newest event.
#[derive(Clone, Debug)]
pub struct Recording {
    pub header: Header,
    events: Vec<LaneEvent>,
    /// For each step that any lane has made: the event with which it began.
    starts: Vec<usize>,
    /// The newest of those steps.
    newest: Option<usize>,
    /// `None`: it goes on, or was cut off.
    pub outcome: Option<Outcome>,
}

impl Recording {
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self { header, events: vec![], starts: vec![], newest: None, outcome: None }
    }

    /// Reads a trace.
    ///
    /// # Errors
    /// A file that cannot be read, is no trace, or is one of a newer kvlab.
    pub fn open(path: &Path) -> io::Result<Self> {
        let refuse = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        let there = fs::metadata(path)?;
        // Others, such as pipes, may never end.
        if !there.is_file() {
            return refuse("it is not a file");
        }
        if there.len() > MOST_BYTES {
            return refuse("it is larger than 1 GiB, more than fits into a window");
        }
        let Trace { header, events, outcome } = Trace::read(BufReader::new(File::open(path)?))?;
        let mut recording = Self { outcome, ..Self::new(header) };
        for event in events {
            recording.push(event);
        }
        Ok(recording)
    }

    /// One more event. A round begins where a lane makes a step that no lane made before.
    pub fn push(&mut self, event: LaneEvent) {
        if let LaneEvent::Token { record, .. } = &event
            && self.newest.is_none_or(|newest| record.step > newest)
        {
            self.newest = Some(record.step);
            self.starts.push(self.events.len());
        }
        self.events.push(event);
    }

    /// Rounds that have begun.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.starts.len()
    }

    /// Events that have happened after so many rounds.
    fn end(&self, round: usize) -> usize {
        self.starts.get(round).copied().unwrap_or(self.events.len())
    }

    /// The run before anything happened.
    fn beginning(&self, run: u64) -> RunState {
        let lanes: Vec<_> = self.header.lanes.iter().map(|name| (name.as_str(), lane_of(name))).collect();
        let mut state = RunState::of_trace(run, &lanes, Facts::of_trace(&self.header));
        state.tokens = self.header.workload.max_new_tokens;
        state.is_forced = self.header.workload.forced;
        state.prompt = self.header.prompt.clone().unwrap_or_default();
        state.phase = Phase::Replay;
        state
    }

    /// The run as it was after so many rounds.
    #[must_use]
    pub fn state(&self, run: u64, round: usize) -> RunState {
        let mut state = self.beginning(run);
        for event in &self.events[..self.end(round)] {
            state.apply_to_lane(event.clone());
        }
        state
    }

    /// Takes a state that is at `from` to `to`; forwards only what is new is applied. What a person hid stays hidden.
    pub fn seek(&self, state: &mut RunState, from: usize, to: usize) {
        if to < from {
            let hidden: Vec<bool> = state.lanes.iter().map(|lane| lane.is_hidden).collect();
            *state = self.state(state.id, to);
            state.lanes.iter_mut().zip(hidden).for_each(|(lane, is_hidden)| lane.is_hidden = is_hidden);
        } else {
            for event in &self.events[self.end(from)..self.end(to)] {
                state.apply_to_lane(event.clone());
            }
        }
    }

    /// How the run ended, as a person reads it.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Finished) => "finished",
            Some(Outcome::Cancelled) => "cancelled",
            Some(Outcome::Failed) => "failed",
            None => "cut off: shown up to its last whole line",
        }
    }

    /// The lanes of this run and then those of another, which may have run elsewhere, each with its machine in its name; a step of both
    /// happens at the same time.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Self {
        let n_lanes = self.header.lanes.len();
        let mut header = self.header.clone();
        let (a, b) = (&self.header.machine.cpu, &other.header.machine.cpu);
        let marks = [short_cpu(a), short_cpu(b)];
        let marks = if marks[0] == marks[1] { ["A".to_owned(), "B".to_owned()] } else { marks };
        let named = |names: &[String], mark: &str| -> Vec<String> {
            names.iter().map(|name| format!("{name} @ {mark}")).collect()
        };
        header.lanes = named(&self.header.lanes, &marks[0]);
        header.lanes.extend(named(&other.header.lanes, &marks[1]));
        header.workload.max_new_tokens = header.workload.max_new_tokens.max(other.header.workload.max_new_tokens);
        header.workload.forced = self.header.workload.forced && other.header.workload.forced;
        // Of one machine only, it would be drawn for the lanes of the other, too.
        if self.header.machine != other.header.machine {
            header.floor = None;
        }
        if self.header.workload.prompt_ids != other.header.workload.prompt_ids {
            header.second_prompt = Some(SecondPrompt {
                first_lane: n_lanes,
                tokens: other.header.workload.prompt_ids.len(),
                pieces: other.header.prompt_pieces.clone(),
            });
        }
        let mut joined = Self::new(header);
        // What happens before the first token, and then round by round.
        for round in 0..=self.rounds().max(other.rounds()) {
            for (recording, first) in [(self, 0), (other, n_lanes)] {
                let from = if round == 0 { 0 } else { recording.end(round - 1) };
                for event in recording.events.get(from..recording.end(round)).unwrap_or_default() {
                    let mut event = event.clone();
                    if let LaneEvent::Switched { name, .. } = &mut event {
                        *name = format!("{name} @ {}", marks[usize::from(first > 0)]);
                    }
                    let lane = event.lane() + first;
                    joined.push(event.of_lane(lane));
                }
            }
        }
        // Whatever is not whole in either is not whole together.
        joined.outcome = if self.outcome == Some(Outcome::Finished) { other.outcome } else { self.outcome };
        joined
    }

    /// Writes the trace, whole or not at all.
    ///
    /// # Errors
    /// Those of writing; what stood there before stands there still.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = files::file_beside(path)?;
        let mut trace = TraceWriter::new(BufWriter::new(file), self.header.clone())?;
        for event in &self.events {
            trace.event(event)?;
        }
        let out = match self.outcome {
            Some(outcome) => trace.finish(outcome)?,
            None => trace.into_inner(),
        };
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Everything that `kvlab run --out` writes: trace, records, summary and plots. A run that is not finished has no summary, here as there.
    /// Returns the names of the files.
    ///
    /// # Errors
    /// A sentence with the file that could not be written, or why the folder is left as it is.
    pub fn export(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let text = |error: files::WriteError| error.to_string();
        files::run_folder(folder).map_err(text)?;
        let trace = folder.join(files::TRACE);
        self.save(&trace).map_err(|error| format!("{} could not be written: {error}", trace.display()))?;
        let results = self.results();
        files::write_csv(&folder.join(files::CSV), &results).map_err(text)?;
        let pictures = plots::write_plots(folder, short(&self.header.model), &results).map_err(text)?;
        let summaries = summarise(&results);
        files::write_whole(&folder.join(files::REPORT), self.report(&table::table(&summaries), &pictures).as_bytes())
            .map_err(text)?;
        let mut names = vec![files::TRACE.to_owned(), files::CSV.to_owned()];
        if self.outcome == Some(Outcome::Finished) {
            // Last, so that a folder with a summary is a folder with everything.
            files::write_json(&folder.join(files::SUMMARY), &summaries).map_err(text)?;
            names.push(files::SUMMARY.to_owned());
        }
        names.extend([files::REPORT.to_owned()].into_iter().chain(pictures));
        Ok(names.into_iter().map(|name| folder.join(name)).collect())
    }

    /// The run as a page of Markdown: what ran where, the table with its definitions, the plots.
    fn report(&self, table: &str, pictures: &[String]) -> String {
        let Header { model, model_hash, device, machine, workload, kvlab_version, commit, .. } = &self.header;
        let mut text = format!(
            "# kvlab: {}\n\n{} lanes, a prompt of {} tokens, {} to generate each. {} ({} threads), device {device}. \
             Weights {model_hash}. kvlab {kvlab_version}, commit {}. The run {}.\n\n```text\n{}\n```\n",
            short(model),
            self.header.lanes.len(),
            workload.prompt_ids.len(),
            workload.max_new_tokens,
            machine.cpu,
            machine.threads,
            commit.as_deref().unwrap_or("unknown"),
            self.ending(),
            table.trim_end(),
        );
        for picture in
            pictures.iter().filter(|picture| Path::new(picture).extension().is_some_and(|kind| kind == "svg"))
        {
            text.push_str(&format!("\n![{picture}]({picture})\n"));
        }
        text
    }

    /// What each lane did, as the reports take it.
    #[must_use]
    pub fn results(&self) -> Vec<LaneResult> {
        let mut results = Results::new(&self.header.lanes);
        self.events.iter().for_each(|event| results.apply(event));
        results.into_lanes()
    }
}

/// The lane behind a name such as `paged:16#2` or `int8 @ EPYC`; `None` for one of a later kvlab.
pub(super) fn lane_of(name: &str) -> Option<Lane> {
    let spec = name.split_once(" @ ").map_or(name, |(spec, _)| spec);
    let spec = spec.split_once('#').map_or(spec, |(spec, _)| spec);
    parse_lanes(spec).ok().and_then(|lanes| lanes.first().copied())
}

/// The word of a processor's name that tells it from others: the first with a digit in it.
fn short_cpu(cpu: &str) -> String {
    let has_digit = |word: &&str| word.chars().any(|c| c.is_ascii_digit()) && !word.contains("GHz");
    cpu.split_whitespace().find(has_digit).or(cpu.split_whitespace().next()).unwrap_or("unknown").to_owned()
}

/// As much of a prompt as tells two apart at a glance.
const PROMPT_CHARS: usize = 40;

/// Header facts that differ between two runs that are shown side by side, in words.
#[must_use]
pub fn differences(a: &Header, b: &Header) -> Vec<String> {
    let threads = |header: &Header| header.machine.threads.to_string();
    let tokens = |header: &Header| format!("{} + {}", header.workload.prompt_ids.len(), header.workload.max_new_tokens);
    // Prompts can be long; that they differ is what counts.
    let prompt = |header: &Header| {
        let text = header.prompt.clone().unwrap_or_else(|| format!("{:?}", header.workload.prompt_ids));
        let start: String = text.chars().take(PROMPT_CHARS).collect();
        if a.workload.prompt_ids == b.workload.prompt_ids { String::new() } else { format!("\"{start}...\"") }
    };
    let forced = |header: &Header| if header.workload.forced { "the first lane's" } else { "its own" }.to_owned();
    let commit = |header: &Header| header.commit.clone().unwrap_or_else(|| "unknown".into());
    let facts: BTreeMap<&str, [String; 2]> = [
        ("model", [a.model.clone(), b.model.clone()]),
        ("weights", [a.model_hash.clone(), b.model_hash.clone()]),
        ("device", [a.device.clone(), b.device.clone()]),
        ("processor", [a.machine.cpu.clone(), b.machine.cpu.clone()]),
        ("threads", [threads(a), threads(b)]),
        ("prompt", [prompt(a), prompt(b)]),
        ("tokens, prompt + new", [tokens(a), tokens(b)]),
        ("what each lane reads", [forced(a), forced(b)]),
        ("commit", [commit(a), commit(b)]),
        ("kvlab", [a.kvlab_version.clone(), b.kvlab_version.clone()]),
    ]
    .into();
    let differs = facts.into_iter().filter(|(_, [a, b])| a != b);
    differs.map(|(what, [a, b])| format!("{what}: {a} and {b}")).collect()
}

#[cfg(test)]
#[path = "recording_tests.rs"]
pub(super) mod tests;
