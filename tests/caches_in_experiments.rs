//! Lanes with residuals and policies in an experiment, as the window and `kvlab run` have them: to the end of the context, forked, and
//! told as they are.

mod support;

use kvlab::{
    cache::{PoolPicture, spec::parse_lanes},
    experiment::{Experiment, LaneEnd, LaneEvent, Workload},
};
use support::{NEVER, golden_model, ids, reference, small::workload};

/// Heads of 64, which groups of 32 divide.
const MODEL: &str = "gpt2-2l-2h-128d";
const LANES: &str = "paged:32+kivi:4,paged:32+kivi:2/0,paged:64+kivi:8/40,contiguous+kivi:2,contiguous+window:4/16,concat+h2o:4/16,\
                     paged:4+window:4/16,paged:4+h2o:4/16,paged:32+kivi:4/8+rot+h2o-mean:4/16,paged:16+q4_0";

fn to_the_end_of_the_context() -> Workload {
    let prompt_ids = ids(&reference(MODEL)["prompt_ids"]);
    let context = golden_model(MODEL).model.config().n_positions;
    Workload { max_new_tokens: context - prompt_ids.len(), prompt_ids, rehearse: false, ..workload(1) }
}

#[test]
fn every_lane_reaches_the_end_of_its_context_forked_or_not() {
    for fork_at in [None, Some(3), Some(40)] {
        let lanes = parse_lanes(LANES).expect("lanes");
        let work = to_the_end_of_the_context();
        let tokens = work.max_new_tokens;
        let mut experiment = Experiment::new(golden_model(MODEL), &lanes, work).expect("an experiment");
        let (mut generated, mut ends) = (vec![0; lanes.len()], vec![]);
        while let Some(event) = experiment.step(&NEVER).expect("a step") {
            match event {
                LaneEvent::Token { lane, .. } => {
                    generated[lane] += 1;
                    if Some(generated[lane]) == fork_at && experiment.can_fork(lane).is_ok() {
                        experiment.fork(lane).expect("a fork");
                    }
                }
                LaneEvent::Ended { end, .. } => ends.push(end),
                _ => {}
            }
        }
        assert_eq!(generated, vec![tokens; lanes.len()], "{ends:?}");
        assert!(ends.iter().all(|end| *end == LaneEnd::Finished), "{ends:?}");
    }
}

#[test]
fn what_is_told_of_the_blocks_is_what_they_are() {
    let lanes = parse_lanes(LANES).expect("lanes");
    let work = Workload { max_new_tokens: 60, ..to_the_end_of_the_context() };
    let mut experiment = Experiment::new(golden_model(MODEL), &lanes, work).expect("an experiment");
    let mut told: Vec<Option<PoolPicture>> = vec![None; lanes.len()];
    while let Some(event) = experiment.step(&NEVER).expect("a step") {
        if let LaneEvent::Blocks { lane, picture } = event {
            told[lane] = Some(picture);
        }
    }
    for (lane, told) in told.into_iter().enumerate() {
        let session = experiment.session(lane).expect("a lane");
        let (told, is) = (told.expect("told"), session.pool_picture().expect("a picture").expect("a cache"));
        let (told, is) = (&told.sequences[0], &is.sequences[0]);
        assert_eq!((&told.blocks, &told.evicted, told.sealed), (&is.blocks, &is.evicted, is.sealed), "{}", lanes[lane]);
        let has_policy = lanes[lane].to_string().contains("window") || lanes[lane].to_string().contains("h2o");
        assert_eq!(!is.evicted.is_empty(), has_policy, "{}", lanes[lane]);
    }
}
