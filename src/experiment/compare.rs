//! Lanes beside the first one, token by token: fed its tokens if that is wanted, and what each predicts compared with it.

use super::{Experiment, LaneEnd, LaneEvent};
use crate::{cache::Lane, engine::EngineError, measure::quality::Prediction};

/// What a lane said of the token of one step.
pub(super) struct Predicted {
    step: usize,
    prediction: Prediction,
}

impl Experiment {
    /// True for a lane that reads the first lane's tokens instead of its own.
    pub(super) fn is_fed(&self, index: usize) -> bool {
        self.workload.forced && index > 0
    }

    /// The first lane's token in the place of a lane's newest; `None` before its first, and where the first lane has not come so far.
    pub(super) fn fed_token(&self, index: usize) -> Option<u32> {
        let newest = self.lanes[index].session.generated().len().checked_sub(1)?;
        self.lanes[0].session.generated().get(newest).copied()
    }

    /// Gives a lane that is fed the token it is to read next.
    pub(super) fn feed(&mut self, index: usize) -> Result<(), LaneEnd> {
        if !self.is_fed(index) || self.lanes[index].session.tokens().is_empty() {
            return Ok(());
        }
        let Some(token) = self.fed_token(index) else {
            let first = self.lanes[0].session.lane();
            return Err(LaneEnd::Failed(format!("it is fed the tokens of {first}, which has ended")));
        };
        self.lanes[index].session.force(token);
        Ok(())
    }

    /// After a step of a lane: tells how its prediction compares, as soon as the first lane's is there too.
    pub(super) fn compare(&mut self, index: usize) -> Result<(), EngineError> {
        if !self.workload.compares {
            return Ok(());
        }
        let run = &mut self.lanes[index];
        let Some(logits) = run.session.logits() else { return Ok(()) };
        let step = run.session.generated().len().saturating_sub(1);
        // Logits that are no numbers ended the step.
        run.predicted = Prediction::of(&logits.to_vec1::<f32>()?).map(|prediction| Predicted { step, prediction });
        let others = if index == 0 { 1..self.lanes.len() } else { index..index + 1 };
        let compared: Vec<LaneEvent> = others.filter_map(|lane| self.compared(lane)).collect();
        self.queue.extend(compared);
        Ok(())
    }

    fn compared(&self, lane: usize) -> Option<LaneEvent> {
        let (Some(exact), Some(own)) = (&self.lanes[0].predicted, &self.lanes[lane].predicted) else { return None };
        let step = own.step;
        let reads = |lane: usize| self.lanes[lane].session.generated().get(..step);
        if exact.step != step || !(self.workload.forced || reads(0) == reads(lane)) {
            return None;
        }
        let kl_nats = exact.prediction.kl(&own.prediction)?;
        Some(LaneEvent::Compared { lane, step, kl_nats, agrees: exact.prediction.best() == own.prediction.best() })
    }

    /// The lanes as they are called now.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A name for lane `index`, which is to be `lane`, that no other lane has now.
    pub(super) fn free_name(&self, index: usize, lane: Lane) -> String {
        let is_taken =
            |name: &String| self.names.iter().enumerate().any(|(other, taken)| other != index && taken == name);
        let plain = std::iter::once(lane.to_string());
        let numbered = (2..).map(|number| format!("{lane}#{number}"));
        plain.chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
    }
}
