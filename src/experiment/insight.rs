//! What an experiment shows of a lane beside its records: blocks, forks, attention. None of it is timed.

use std::sync::atomic::AtomicBool;

use super::{Experiment, ExperimentError, LaneEvent};
use crate::{
    cache::{Lane, Layout, PoolPicture, Retention, SequencePicture},
    engine::{Ask, Attention, EngineError, Inspection, MAX_FORKS, Session},
    model::TextStream,
};

/// The attention of a whole run may take this much, as bytes of [`Attention`].
const MOST_ATTENTION_BYTES: u64 = 256 << 20;

/// The text of a fork, and whether it goes on.
#[derive(Default)]
pub(super) struct ForkRun {
    stream: TextStream,
    pub has_ended: bool,
}

/// What was last told of a lane.
#[derive(Default)]
pub(super) struct Insight {
    pub forks: Vec<ForkRun>,
    blocks: Option<PoolPicture>,
    /// Tokens whose attention was told, from the first on: nothing is told twice.
    attention_rows: usize,
    /// Tokens that the lane's cache got as a prompt; `None`: the run's own.
    run_as_prompt: Option<usize>,
}

impl Insight {
    /// Of a lane that goes on in another cache, which ran `tokens_in` tokens as a prompt. What its tokens looked at before stands.
    pub fn after_switch(&self, tokens_in: usize) -> Self {
        Self { attention_rows: self.attention_rows, run_as_prompt: Some(tokens_in), ..Self::default() }
    }
}

impl Experiment {
    /// Forks a lane where it stands; both then go on, the fork untimed. Only in a pool do the two share anything, so only
    /// `paged` lanes have forks.
    ///
    /// # Errors
    /// [`ExperimentError::CannotFork`] with the reason; nothing changes then.
    pub fn fork(&mut self, index: usize) -> Result<(), ExperimentError> {
        self.can_fork(index)?;
        let run = &mut self.lanes[index];
        let lane = run.session.lane().to_string();
        let (fork, token_id) =
            run.session.fork().map_err(|error| ExperimentError::CannotFork { lane, reason: error.to_string() })?;
        run.insight.forks.push(ForkRun::default());
        let start = run.session.generated().len() - 1;
        self.queue.push_back(LaneEvent::Forked { lane: index, fork, start });
        self.tell_fork(index, fork, token_id)?;
        self.tell_blocks(index)?;
        Ok(())
    }

    /// Whether a lane can be forked once it has a token.
    ///
    /// # Errors
    /// [`ExperimentError::CannotFork`] with the reason.
    pub fn can_fork(&self, index: usize) -> Result<(), ExperimentError> {
        let refuse = |lane: String, reason: String| Err(ExperimentError::CannotFork { lane, reason });
        let Some(run) = self.lanes.get(index) else { return refuse(index.to_string(), "there is no such lane".into()) };
        let lane = run.session.lane();
        let reason = match lane {
            Lane::None => Some("it has no cache".into()),
            Lane::Mine => Some("its cache is a learner's, and cannot be forked".into()),
            Lane::Cache(spec) if !matches!(spec.layout, Layout::Paged { .. }) => {
                Some("only blocks of a pool can be shared; take a lane paged:B".into())
            }
            Lane::Cache(_) if run.end.is_some() => Some("it has ended".into()),
            Lane::Cache(_) if run.session.n_forks() == MAX_FORKS => {
                Some(format!("it has {MAX_FORKS} open forks, and room for no more"))
            }
            Lane::Cache(_) => None,
        };
        reason.map_or(Ok(()), |reason| refuse(lane.to_string(), reason))
    }

    /// Watches the attention of these lanes from now on, and of no others. What a lane did before and was not told is made up for, by
    /// running its tokens through a cache of the same kind once more; one that is watched already goes on.
    ///
    /// # Errors
    /// [`ExperimentError::TooMuchAttention`], [`EngineError::Guest`], or those of the passes; no lane is watched then.
    pub fn watch(
        &mut self,
        lanes: impl IntoIterator<Item = usize>,
        cancel: &AtomicBool,
    ) -> Result<(), ExperimentError> {
        let before = std::mem::take(&mut self.watched);
        let lanes: Vec<usize> = lanes.into_iter().filter(|lane| *lane < self.lanes.len()).collect();
        let n_tokens = self.workload.prompt_ids.len() + self.workload.max_new_tokens;
        let needed_bytes = Attention::bytes(self.model.model.config(), n_tokens).saturating_mul(lanes.len() as u64);
        if needed_bytes > MOST_ATTENTION_BYTES {
            return Err(ExperimentError::TooMuchAttention { n_tokens, needed_bytes, most_bytes: MOST_ATTENTION_BYTES });
        }
        if lanes.iter().any(|lane| self.lanes[*lane].session.lane() == Lane::Mine) {
            return Err(EngineError::Guest.into());
        }
        for lane in &lanes {
            if !before.contains(lane) {
                self.catch_up(*lane, cancel)?;
            }
        }
        self.watched = lanes;
        Ok(())
    }

    /// Tells the attention of what a lane has done so far, as far as it was not told.
    fn catch_up(&mut self, index: usize, cancel: &AtomicBool) -> Result<(), ExperimentError> {
        let run = &self.lanes[index];
        // The newest token has not run yet.
        let Some((_, seen)) = run.session.tokens().split_last() else { return Ok(()) };
        if run.insight.attention_rows >= seen.len() {
            return Ok(());
        }
        let again = Session::new(self.model.clone(), run.session.lane(), self.session_config)?;
        let n_prompt = run.insight.run_as_prompt.unwrap_or(self.workload.prompt_ids.len());
        for attention in attention_so_far(again, n_prompt, seen, cancel)? {
            self.tell_attention(index, attention);
        }
        Ok(())
    }

    /// What is new of it.
    pub(super) fn tell_attention(&mut self, lane: usize, mut attention: Attention) {
        let told = &mut self.lanes[lane].insight.attention_rows;
        let known = told.saturating_sub(attention.first).min(attention.rows.len());
        attention.rows.drain(..known);
        attention.first += known;
        if !attention.rows.is_empty() {
            *told = attention.first + attention.rows.len();
            self.queue.push_back(LaneEvent::Attention { lane, attention });
        }
    }

    /// What happened and was not told yet, between two steps.
    pub fn take_queued(&mut self) -> Vec<LaneEvent> {
        self.queue.drain(..).collect()
    }

    /// The numbers of one token of a lane, and how the token that it reads next looks at it.
    ///
    /// # Errors
    /// [`ExperimentError::NoSuchLane`], and those of [`Session::inspect`].
    pub fn inspect(&mut self, index: usize, ask: Ask, cancel: &AtomicBool) -> Result<Inspection, ExperimentError> {
        let n_lanes = self.lanes.len();
        if index >= n_lanes {
            return Err(ExperimentError::NoSuchLane { index, n_lanes });
        }
        // A lane whose first one has ended can still be looked at, with its own token for the newest.
        let _ = self.feed(index);
        Ok(self.lanes[index].session.inspect(ask, cancel)?)
    }

    /// The attention of the step that a watched lane is about to make.
    pub(super) fn look(&mut self, index: usize, cancel: &AtomicBool) -> Result<Option<Attention>, EngineError> {
        if !self.watched.contains(&index) {
            return Ok(None);
        }
        let session = &mut self.lanes[index].session;
        if session.tokens().is_empty() {
            session.attention_of(&self.workload.prompt_ids, cancel).map(Some)
        } else {
            session.attention_of_next(cancel).map(Some)
        }
    }

    /// After a token of a lane: one of each of its forks, and its blocks if they changed.
    pub(super) fn follow(&mut self, index: usize, cancel: &AtomicBool) -> Result<(), EngineError> {
        for fork in 0..self.lanes[index].insight.forks.len() {
            if self.lanes[index].insight.forks[fork].has_ended {
                continue;
            }
            match self.lanes[index].session.decode_fork(fork, cancel) {
                Ok(token_id) => self.tell_fork(index, fork, token_id)?,
                // The lane's own token stands, and its fork is a token behind from now on.
                Err(error) if error.is_cancelled() => return Ok(()),
                Err(error) => self.end_fork(index, fork, error.to_string())?,
            }
        }
        self.tell_blocks(index)
    }

    /// Closes the youngest open fork of a lane that has no room left; false when there is none.
    pub(super) fn make_room(&mut self, index: usize) -> Result<bool, EngineError> {
        let Some(youngest) = self.lanes[index].insight.forks.iter().rposition(|fork| !fork.has_ended) else {
            return Ok(false);
        };
        self.end_fork(index, youngest, "the cache was full, and its blocks went to the lane".into())?;
        self.tell_blocks(index)?;
        Ok(true)
    }

    pub(super) fn end_fork(&mut self, lane: usize, fork: usize, reason: String) -> Result<(), EngineError> {
        let run = &mut self.lanes[lane];
        run.insight.forks[fork].has_ended = true;
        run.session.close_fork(fork)?;
        self.queue.push_back(LaneEvent::ForkEnded { lane, fork, reason });
        Ok(())
    }

    fn tell_fork(&mut self, lane: usize, fork: usize, token_id: u32) -> Result<(), EngineError> {
        let run = &mut self.lanes[lane];
        let text = match &self.model.tokenizer {
            Some(tokenizer) => run.insight.forks[fork].stream.push(tokenizer, token_id)?,
            None => String::new(),
        };
        self.queue.push_back(LaneEvent::ForkToken { lane, fork, token_id, text });
        Ok(())
    }

    /// Tables grow a block at a time, and a record says how long the lane is: only what else changed is told. A lane that evicts
    /// changes with every token.
    pub(super) fn tell_blocks(&mut self, lane: usize) -> Result<(), EngineError> {
        let run = &mut self.lanes[lane];
        let Some(picture) = run.session.pool_picture()? else { return Ok(()) };
        let is_the_same = |told: &SequencePicture, now: &SequencePicture| {
            let SequencePicture { len: _, blocks, evicted, sealed } = now;
            (&told.blocks, &told.evicted, &told.sealed) == (blocks, evicted, sealed)
        };
        let is_known = |told: &PoolPicture| {
            told.sequences.len() == picture.sequences.len()
                && told.sequences.iter().zip(&picture.sequences).all(|(told, now)| is_the_same(told, now))
        };
        if !run.insight.blocks.as_ref().is_some_and(is_known) || run.insight.forks.iter().any(|fork| !fork.has_ended) {
            run.insight.blocks = Some(picture.clone());
            self.queue.push_back(LaneEvent::Blocks { lane, picture });
        }
        Ok(())
    }
}

/// The attention of the tokens `seen` so far, of which the first `n_prompt` were run as a prompt, in a new session of the same lane. Where
/// nothing is ever evicted, one pass over all is the same; else each token must see what it saw, and the lane is run again.
fn attention_so_far(
    mut again: Session,
    n_prompt: usize,
    seen: &[u32],
    cancel: &AtomicBool,
) -> Result<Vec<Attention>, EngineError> {
    let evicts = matches!(again.lane(), Lane::Cache(spec) if spec.retention != Retention::All);
    if !evicts {
        return Ok(vec![again.attention_of(seen, cancel)?]);
    }
    let (prompt, generated) = seen.split_at(n_prompt.min(seen.len()));
    let mut parts = vec![again.attention_of(prompt, cancel)?];
    again.prefill(prompt, cancel)?;
    for token in generated {
        // Whatever it would say now: what it was fed is what it saw.
        again.force(*token);
        parts.push(again.attention_of_next(cancel)?);
        again.decode(cancel)?;
    }
    Ok(parts)
}
