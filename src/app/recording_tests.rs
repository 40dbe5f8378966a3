use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    engine::Sampling,
    experiment::{Experiment, Workload},
    model::ModelSource,
};

pub fn recording(lanes: &str, tokens: usize) -> Recording {
    let (cpu, never) = (candle_core::Device::Cpu, AtomicBool::new(false));
    let model = ModelSource::Story.load(&cpu, &mut |_| {}, &never).expect("embedded").into();
    let workload = Workload {
        prompt_ids: vec![5, 6, 7],
        max_new_tokens: tokens,
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        rehearse: false,
        forced: false,
        compares: true,
    };
    let mut experiment = Experiment::new(model, &parse_lanes(lanes).expect(lanes), workload).expect(lanes);
    let mut recording = Recording::new(Header::of(&experiment, Some("three".into()), None));
    while let Some(event) = experiment.step(&never).expect("a step") {
        recording.push(event);
    }
    recording.outcome = Some(Outcome::Finished);
    recording
}

fn counts(state: &RunState) -> Vec<usize> {
    state.lanes.iter().map(|lane| lane.records.len()).collect()
}

#[test]
fn any_moment_is_the_same_forwards_and_backwards() {
    let recording = recording("none,paged:2+window:1/3", 9);
    assert_eq!(recording.rounds(), 9);
    let mut state = recording.state(4, 0);
    assert_eq!((counts(&state), state.id), (vec![0, 0], 4));
    let text = |state: &RunState| format!("{:?}", (&state.lanes, &state.attention));
    let mut at = 0;
    for round in [3, 9, 4, 5, 0, 9] {
        recording.seek(&mut state, at, round);
        assert_eq!(counts(&state), [round, round]);
        assert_eq!(text(&state), text(&recording.state(4, round)), "round {round}");
        at = round;
    }
    state.lanes[1].is_hidden = true;
    recording.seek(&mut state, 9, 2);
    assert!(state.lanes[1].is_hidden, "a person hid it");
}

#[test]
fn a_recording_is_written_and_read_back() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("kept.jsonl");
    let mut kept = recording("contiguous,paged:4", 5);
    kept.save(&path).expect("written");
    let read = Recording::open(&path).expect("a trace");
    assert_eq!((&read.header, read.events.len(), read.outcome), (&kept.header, kept.events.len(), kept.outcome));
    // Seconds may lose their last digit on the way.
    let results = |recording: &Recording| -> Vec<_> {
        recording.results().into_iter().map(|lane| (lane.token_ids(), lane.text, lane.end)).collect()
    };
    assert_eq!(results(&read), results(&kept));
    // One that goes on has no end yet.
    kept.outcome = None;
    kept.save(&path).expect("written");
    assert_eq!(Recording::open(&path).expect("a trace").outcome, None);
    assert!(kept.save(Path::new("/nowhere/at/all.jsonl")).is_err());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
}

#[test]
fn an_export_is_what_a_run_leaves() {
    let folder = tempfile::tempdir().expect("folder");
    let files = recording("contiguous,paged:4", 5).export(&folder.path().join("run")).expect("written");
    let names: Vec<_> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    let plots = ["latency.svg", "latency.png", "memory.svg", "memory.png"];
    assert_eq!(names, [&["trace.jsonl", "records.csv", "summary.json", "report.md"][..], &plots].concat());
    assert!(files.iter().all(|file| fs::metadata(file).is_ok_and(|file| file.len() > 100)));
}

#[test]
fn an_export_of_an_unfinished_run_has_no_summary_and_leaves_other_results_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let mut run = recording("contiguous", 3);
    run.export(folder.path()).expect("written");
    assert!(folder.path().join("summary.json").exists());
    run.outcome = Some(Outcome::Failed);
    let files = run.export(folder.path()).expect("written");
    assert!(!folder.path().join("summary.json").exists(), "the earlier run's");
    assert!(files.iter().all(|file| !file.ends_with("summary.json")));
    let report = fs::read_to_string(folder.path().join("report.md")).expect("a report");
    assert!(report.contains("The run failed."), "{report}");
    let other = tempfile::tempdir().expect("folder");
    fs::write(other.path().join("summary.json"), "of a measurement of quality").expect("written");
    let refusal = run.export(other.path()).expect_err("another result");
    assert!(refusal.contains("choose another folder"), "{refusal}");
    assert_eq!(fs::read_dir(other.path()).expect("a folder").count(), 1);
}

#[test]
fn two_runs_stand_side_by_side_with_their_machines() {
    let (mut here, mut there) = (recording("contiguous,paged:4", 5), recording("contiguous", 7));
    here.header.machine.cpu = "AMD EPYC 9B14 96-Core Processor".into();
    there.header.machine.cpu = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz".into();
    let both = here.beside(&there);
    assert_eq!(both.header.lanes, ["contiguous @ 9B14", "paged:4 @ 9B14", "contiguous @ 8481C"]);
    assert_eq!((both.rounds(), both.header.workload.max_new_tokens), (7, 7));
    assert_eq!(counts(&both.state(1, 3)), [3, 3, 3]);
    assert_eq!(counts(&both.state(1, 7)), [5, 5, 7]);
    let end = both.state(1, 7);
    assert_eq!(end.lanes[2].text, there.state(1, 7).lanes[0].text);
    assert_eq!(lane_of("paged:4#2 @ 9B14"), parse_lanes("paged:4").expect("lane").first().copied());
    let words = differences(&here.header, &there.header);
    assert_eq!(words.len(), 2, "{words:?}");
    assert_eq!(words[1], "tokens, prompt + new: 3 + 5 and 3 + 7");
    assert_eq!(both.header.floor, None, "the floor of one machine is not the other's");
    assert!(words[0].starts_with("processor: AMD EPYC") && words[0].contains(" and Intel"), "{words:?}");
    assert_eq!(here.beside(&here).header.lanes[2], "contiguous @ B", "the same machine twice");
    assert_eq!(both.header.second_prompt, None, "they have the same prompt");
    there.header.workload.prompt_ids = vec![8, 9];
    there.header.prompt_pieces = vec!["eight".into(), "nine".into()];
    let text = |lane, position| here.beside(&there).state(1, 7).token_text(lane, 0, position).map(str::to_owned);
    assert_eq!(text(2, 1).as_deref(), Some("nine"), "the second run's own prompt");
    assert_eq!(text(2, 2), there.state(1, 7).token_text(0, 0, 2).map(str::to_owned), "and its first token after that");
    assert_eq!(text(0, 1).as_deref(), Some(here.header.prompt_pieces[1].as_str()));
}
