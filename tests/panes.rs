//! The panes of one lane, and traces, in the window: driven as a person drives them, on the real engine.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use driver::{is_enabled, options, phase_is, press, tokens, until, window};
use egui::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use kvlab::app::{Options, Pane, timeline::Timeline, state::Phase};

#[test]
fn the_attention_pane_shows_every_token_that_ran() {
    let mut window = window(&Options { pane: Pane::Attention, lanes: "none,contiguous".into(), ..options() });
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let run = window.state().run_state();
    let attention = run.attention.as_ref().expect("the pane asked for it");
    let prompt = run.facts.as_ref().expect("facts").prompt_tokens;
    assert_eq!(
        (attention.lane, attention.rows.len()),
        (1, prompt + 11),
        "the first lane with a cache; the 12th token never ran"
    );
    window.get_by_label(&format!("attention of layer 5, head 1: {} rows", prompt + 11));
    window.get_by_role_and_label(Role::Button, "layer 2, head 3").click();
    window.run_steps(2);
    window.get_by_label(&format!("attention of layer 2, head 3: {} rows", prompt + 11));
    // The weights of a token add up, and the pane names the largest first.
    let sum: f32 = window
        .query_all_by_label_contains(" %")
        .filter_map(|node| {
            let label = node.accesskit_node().value()?;
            label.strip_prefix("token ")?.split(": ").nth(1)?.strip_suffix(" %")?.parse::<f32>().ok()
        })
        .sum();
    assert!(sum > 30.0 && sum < 106.0, "eight weights, rounded: {sum} %");
    window.check_accessibility();
}

#[test]
fn the_pane_can_be_opened_in_the_middle_of_a_run() {
    let mut window = window(&options());
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    assert_eq!(window.state().run_state().attention, None, "nobody watches");
    press(&mut window, "Attention");
    until(&mut window, "watched", |app| app.run_state().attention.is_some());
    press(&mut window, "Resume");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let run = window.state().run_state();
    let rows = run.attention.as_ref().map(|attention| attention.rows.len());
    assert_eq!(rows, run.facts.as_ref().map(|facts| facts.prompt_tokens + 11));
}

#[test]
fn a_lane_that_nobody_watched_is_not_shown_as_another() {
    let mut window = window(&Options { pane: Pane::Attention, lanes: "none,contiguous,paged:16".into(), ..options() });
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(window.query_all_by_label_contains("attention of layer").count(), 1);
    window.get_by_role_and_label(Role::ComboBox, "lane").click();
    window.run_steps(2);
    window.get_by_role_and_label(Role::Button, "paged:16").click();
    window.run_steps(3);
    assert_eq!(window.query_all_by_label_contains("attention of layer").count(), 0);
    window.get_by_label_contains("Nobody watched this lane");
}

#[test]
fn a_fork_is_made_in_the_blocks_pane() {
    let mut window = window(&Options { pane: Pane::Blocks, lanes: "none,paged:16".into(), tokens: 40, ..options() });
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    let prompt = window.state().run_state().facts.as_ref().expect("facts").prompt_tokens;
    let blocks = prompt.div_ceil(16);
    window.get_by_label(&format!("block table of paged:16: {blocks} blocks, {prompt} tokens"));
    assert!(is_enabled(&window, "Fork here"));
    press(&mut window, "Fork here");
    until(&mut window, "forked", |app| app.run_state().lanes[1].forks.len() == 1);
    window.get_by_label(&format!(
        "pool: 64 blocks of 16 tokens, 120.00 KiB each: {blocks} held, {blocks} shared, {} free",
        64 - blocks
    ));
    press(&mut window, "Resume");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let lane = &window.state().run_state().lanes[1];
    assert!(!lane.forks[0].text.is_empty() && lane.forks[0].text != lane.text);
    let picture = lane.blocks.as_ref().expect("blocks");
    let shared = picture.holders().iter().filter(|holders| holders.len() == 2).count();
    assert_eq!(shared, prompt / 16, "the full blocks of the prompt");
    assert!(lane.records.last().expect("records").copied_bytes > 0, "the partial block was copied on write");
    assert!(!is_enabled(&window, "Fork here"), "the run is over");
    window.check_accessibility();
}

fn trace(name: &str, cut: Option<usize>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_kvlab"))
        .args([
            "run",
            "--tokens",
            "20",
            "--lanes",
            "none,paged:16",
            "--attention",
            "paged:16",
            "--fork",
            "paged:16@5",
            "--out",
        ])
        .arg(folder.path())
        .output()
        .expect("kvlab runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut bytes = std::fs::read(folder.path().join("trace.jsonl")).expect("a trace");
    if let Some(cut) = cut {
        bytes.truncate(bytes.len() - cut);
    }
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("writable");
    (folder, path)
}

#[test]
fn a_trace_is_shown_at_any_moment() {
    let (_folder, path) = trace("whole.jsonl", None);
    let replay = Timeline::open(&path).expect("a trace");
    let mut window = window(&Options { trace: Some(replay), ..options() });
    window.step();
    window.get_by_label("replay: 20 of 20 tokens");
    assert!(window.query_by_label("Run").is_none(), "nothing runs");
    assert_eq!(tokens(&window), [20, 20]);
    let end = window.state().run_state().clone();
    assert!(end.attention.is_some() && end.lanes[1].blocks.is_some() && end.lanes[1].forks.len() == 1);
    assert_eq!(end.lanes[1].text, end.lanes[0].text);

    press(&mut window, "Back");
    assert_eq!(tokens(&window), [19, 19]);
    press(&mut window, "Forward");
    assert_eq!(tokens(&window), [20, 20]);
    for _ in 0..20 {
        press(&mut window, "Back");
    }
    assert_eq!((tokens(&window), window.state().run_state().lanes[1].forks.len()), (vec![0, 0], 0));
    press(&mut window, "Play");
    until(&mut window, "played to its end", |app| app.run_state().progress() == 20);
    let again = window.state().run_state();
    assert_eq!((&again.lanes[1].text, &again.attention), (&end.lanes[1].text, &end.attention));
    for pane in ["Attention", "Blocks"] {
        press(&mut window, pane);
        window.check_accessibility();
    }
    press(&mut window, "Close trace");
    window.step();
    window.get_by_label("ready");
}

#[test]
fn a_trace_that_was_cut_off_opens_to_its_last_whole_line() {
    let (_folder, path) = trace("cut.jsonl", Some(700));
    let replay = Timeline::open(&path).expect("cut off, not damaged");
    let mut window = window(&Options { trace: Some(replay), ..options() });
    window.step();
    assert!(window.query_all_by_label_contains("cut off: shown up to its last whole line").count() >= 1);
    assert!(tokens(&window).iter().all(|n| (18..=20).contains(n)), "{:?}", tokens(&window));
}
