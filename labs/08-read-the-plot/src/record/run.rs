//! Runs chats over two caches, which take turns, and writes what happened as a trace of kvlab's.

use std::sync::{Arc, atomic::AtomicBool};

use anyhow::{Context, Result};
use kvlab::{
    cache::Lane,
    engine::{Sampling, Session, SessionConfig, StepRecord},
    experiment::{
        Experiment, LaneEnd, LaneEvent, Workload,
        trace::{Header, Outcome, TraceWriter, floor_of},
    },
    model::{LoadedModel, Passage, TextStream},
};

use super::{Burning, Recipe, cache};

/// The bytes of the trace.
pub fn record(model: &Arc<LoadedModel>, recipe: &Recipe) -> Result<Vec<u8>> {
    let never = AtomicBool::new(false);
    cache::plant(recipe.kind);
    let passages = Passage::held_out_stories()?;
    let prompts: Vec<&[u32]> =
        passages.iter().map(|passage| &passage.ids[..recipe.prompt]).take(recipe.chats).collect();
    let lanes: [Lane; 2] = [parse("contiguous")?, parse("mine")?];
    // What every program does for the first time, before the clock: pages of the weights, threads.
    for lane in lanes {
        let mut session = Session::new(model.clone(), lane, SessionConfig::default())?;
        session.prefill(prompts[0], &never)?;
        (0..30).try_for_each(|_| session.decode(&never).map(drop))?;
    }
    cache::forget_pool();

    let workload = Workload {
        prompt_ids: prompts[0].to_vec(),
        max_new_tokens: recipe.chats * (recipe.new + 1),
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        rehearse: false,
        forced: false,
        compares: false,
    };
    let text = model.tokenizer.as_ref().context("the story model has a tokenizer")?.decode(prompts[0])?;
    let experiment = Experiment::new(model.clone(), &lanes, workload)?;
    let mut writer = TraceWriter::new(vec![], Header::of(&experiment, Some(text), floor_of(model)))?;
    drop(experiment);

    let mut step = 0;
    let mut copied = [0, 0];
    let mut streams = [TextStream::default(), TextStream::default()];
    let mut burning = None;
    for prompt in prompts {
        // A chat ends where the next one begins: its sessions are dropped.
        let mut sessions = [
            Session::new(model.clone(), lanes[0], SessionConfig::default())?,
            Session::new(model.clone(), lanes[1], SessionConfig::default())?,
        ];
        let before = copied;
        for token in 0..=recipe.new {
            if let Some((begin, end)) = recipe.burns {
                burning = if step == begin { Some(Burning::start()?) } else { burning };
                burning = burning.filter(|_| step < end);
            }
            for turn in 0..2 {
                let lane = (step + turn) % 2;
                let session = &mut sessions[lane];
                let record = if token == 0 { session.prefill(prompt, &never)? } else { session.decode(&never)? };
                copied[lane] = before[lane] + record.copied_bytes;
                let text = match &model.tokenizer {
                    Some(tokenizer) => streams[lane].push(tokenizer, record.token_id)?,
                    None => String::new(),
                };
                let record = StepRecord { step, copied_bytes: copied[lane], ..rounded(record) };
                writer.event(&LaneEvent::Token { lane, record, text })?;
            }
            step += 1;
        }
    }
    for lane in 0..2 {
        writer.event(&LaneEvent::Ended { lane, end: LaneEnd::Finished, text: String::new() })?;
    }
    Ok(writer.finish(Outcome::Finished)?)
}

fn parse(lane: &str) -> Result<Lane> {
    Ok(lane.parse()?)
}

/// Times to a tenth of a microsecond, which is finer than they are, and shorter on disk.
fn rounded(record: StepRecord) -> StepRecord {
    let round = |secs: f64| (secs * 1e7).round() / 1e7;
    StepRecord {
        forward_secs: round(record.forward_secs),
        sample_secs: round(record.sample_secs),
        total_secs: round(record.total_secs),
        ..record
    }
}
