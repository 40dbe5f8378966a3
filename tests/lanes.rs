//! Lanes from the menus, and what the window shows of caches that quantize and forget; on the real engine.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use driver::{frame, is_enabled, options, phase_is, press, tokens, until, visible_window, window, write};
use egui::{Color32, ColorImage, Role, Theme};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use kvlab::{
    app::{
        App, Options, Pane,
        draft::{FORMATS, LAYOUTS, RETENTIONS},
        form::PRESETS,
        state::Phase,
        theme::lane_color,
        timeline::Timeline,
    },
    cache::{PoolPicture, spec::parse_lanes},
};

fn choose(window: &mut Harness<'_, App>, menu: &str, answer: &str) {
    window.get_by_role_and_label(Role::ComboBox, menu).scroll_to_me();
    window.run_steps(4);
    window.get_by_role_and_label(Role::ComboBox, menu).click();
    window.run_steps(4);
    window.get_by_role_and_label(Role::Button, answer).click();
    window.run_steps(4);
}

fn add(window: &mut Harness<'_, App>) {
    window.get_by_role_and_label(Role::Button, "Add lane").scroll_to_me();
    window.run_steps(4);
    press(window, "Add lane");
    // A message that goes makes everything below it move.
    window.run_steps(2);
}

fn lanes(window: &mut Harness<'_, App>) -> String {
    window.state_mut().form_mut().lanes.clone()
}

#[test]
fn every_answer_of_the_menus_becomes_a_lane_that_runs() {
    let mut window = window(&Options { lanes: String::new(), tokens: 3, ..options() });
    for layout in LAYOUTS {
        choose(&mut window, "Layout", layout.word);
        add(&mut window);
    }
    for format in FORMATS {
        choose(&mut window, "Format", format.word);
        add(&mut window);
    }
    choose(&mut window, "Format", "int8");
    for retention in RETENTIONS {
        choose(&mut window, "Keep", retention.word);
        add(&mut window);
    }
    window.get_by_role_and_label(Role::CheckBox, "Rotate rows").click();
    window.step();
    add(&mut window);
    let expected = "none,concat,contiguous,paged:16,paged:16,paged:16+f16,paged:16+bf16,paged:16+f8,paged:16+int8,\
        paged:16+q8_0,paged:16+q4_0,paged:16+int4,paged:32+kivi:2/32,paged:32+kvq:3,paged:32+int8,\
        paged:32+int8+window:4/60,paged:32+int8+h2o:32/32,paged:32+int8+h2o-mean:32/32,paged:32+int8+rot+h2o-mean:32/32";
    assert_eq!(lanes(&mut window), expected);
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let n_lanes = expected.split(',').count();
    assert_eq!(tokens(&window), vec![3; n_lanes], "{:?}", window.state().run_state().failure());
    window.check_accessibility();
}

#[test]
fn every_number_of_a_lane_can_be_set() {
    let mut window = window(&Options { lanes: "none".into(), ..options() });
    let number = |window: &mut Harness<'_, App>, name: &str, value: &str| write(window, name, Role::SpinButton, value);
    choose(&mut window, "Format", "kivi");
    number(&mut window, "block length", "96");
    number(&mut window, "exact", "40");
    choose(&mut window, "bits", "8");
    choose(&mut window, "Keep", "window");
    number(&mut window, "sinks", "0");
    number(&mut window, "recent", "9");
    add(&mut window);
    choose(&mut window, "Format", "kvq");
    choose(&mut window, "bits", "4");
    choose(&mut window, "Keep", "h2o");
    number(&mut window, "heavy", "5");
    number(&mut window, "recent", "0");
    add(&mut window);
    assert_eq!(
        lanes(&mut window),
        "none,paged:96+kivi:8/40+window:0/9,paged:96+kvq:4+h2o:5/1",
        "at least 1 recent token stays"
    );
}

#[test]
fn what_the_grammar_refuses_shows_its_reason_and_cannot_be_added() {
    let mut window = window(&Options { lanes: "none".into(), ..options() });
    choose(&mut window, "Format", "kivi");
    choose(&mut window, "Layout", "concat");
    window.get_by_label_contains("`concat` never seals one");
    assert!(!is_enabled(&window, "Add lane"));
    choose(&mut window, "Layout", "paged");
    assert!(is_enabled(&window, "Add lane"), "blocks of 32 are proposed");
    write(&mut window, "block length", Role::SpinButton, "16");
    window.get_by_label_contains("must be a multiple of 32, not 16");
    assert!(!is_enabled(&window, "Add lane"));
    assert!(is_enabled(&window, "Run"), "the lanes above are as they were");
    assert_eq!(lanes(&mut window), "none");
    choose(&mut window, "Layout", "none");
    add(&mut window);
    assert_eq!(lanes(&mut window), "none,none");
}

#[test]
fn the_menus_fit_a_small_window_in_both_themes() {
    for theme in [Theme::Dark, Theme::Light] {
        let (mut window, raster) = visible_window(&options(), theme, [900.0, 600.0]);
        choose(&mut window, "Format", "kivi");
        choose(&mut window, "Keep", "window");
        frame(&mut window, &raster, &format!("small-{theme:?}"));
        let right = |role, name| window.get_by_role_and_label(role, name).rect().right();
        let mut rights: Vec<f32> = vec![right(Role::Button, "Presets")];
        rights.extend(["Layout", "Format", "Keep", "bits"].map(|name| right(Role::ComboBox, name)));
        rights.extend(["block length", "exact", "sinks", "recent"].map(|name| right(Role::SpinButton, name)));
        assert!(rights.iter().all(|right| *right < 270.0), "{rights:?}");
    }
}

/// The blocks pane after a run of one lane.
fn blocks(lane: &str, theme: Theme) -> (Harness<'static, App>, ColorImage) {
    let options = Options { pane: Pane::Blocks, lanes: lane.into(), tokens: 60, ..options() };
    let (mut window, raster) = visible_window(&options, theme, [1280.0, 800.0]);
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let name = format!("{}-{theme:?}", lane.replace(['/', ':'], "_"));
    let frame = frame(&mut window, &raster, &name);
    (window, frame)
}

fn picture(window: &Harness<'_, App>) -> PoolPicture {
    window.state().run_state().lanes[0].blocks.clone().expect("blocks")
}

/// Pixels of filled slots: the lane's colour over the ground of a cell.
fn filled(window: &Harness<'_, App>, theme: Theme, frame: &ColorImage) -> usize {
    let visuals = window.ctx.style_of(theme).visuals.clone();
    let color = visuals.extreme_bg_color.blend(lane_color(0, &visuals).gamma_multiply(0.75));
    let is_close = |pixel: &&Color32| {
        let pairs = pixel.to_array().into_iter().zip(color.to_array());
        pairs.into_iter().all(|(a, b)| a.abs_diff(b) <= 2)
    };
    frame.pixels.iter().filter(is_close).count()
}

#[test]
fn dead_slots_and_exact_tokens_are_drawn_as_what_they_are() {
    for theme in [Theme::Dark, Theme::Light] {
        let (window, frame) = blocks("contiguous", theme);
        let all = filled(&window, theme, &frame);
        assert!(all > 5_000, "{all} pixels of 126 stored tokens, twice");
        assert_eq!(window.query_all_by_label_contains("dead").count(), 0);
        let (window, frame) = blocks("contiguous+window:4/60", theme);
        let live = filled(&window, theme, &frame);
        // 64 of 126 are left; numbers cover some pixels.
        assert!(live * 10 > all * 4 && live * 10 < all * 6, "{live} of {all} pixels in {theme:?}");
        window.get_by_label("dead: its token was evicted");
        let (window, frame) = blocks("contiguous+kivi:2/32", theme);
        let sealed = filled(&window, theme, &frame);
        // 64 are quantized; the newest 62 wait outside.
        assert!(sealed * 10 > all * 4 && sealed * 10 < all * 6, "{sealed} of {all} pixels in {theme:?}");
        window.get_by_label("kept for a token that is exact still, outside the blocks");
        window.get_by_label("exact, not quantized yet");
    }
}

#[test]
fn blocks_that_were_given_back_leave_gaps() {
    let (window, _) = blocks("paged:16+window:4/20", Theme::Dark);
    // 126 tokens in 8 blocks: the first has the sinks, the newest 20 lie in the last two.
    assert_eq!(picture(&window).sequences[0].blocks.iter().filter(|block| **block == u32::MAX).count(), 5);
    window.get_by_label(
        "pool: 64 blocks of 16 tokens, 120.00 KiB each: 3 held, 0 shared, 61 free, 5 given back, 22 dead slots",
    );
}

/// What the pane counts is what the store measured.
#[test]
fn dead_slots_are_the_dead_bytes_of_the_record() {
    for lane in [
        "contiguous+window:4/60",
        "contiguous+kivi:4/16+h2o:20/30",
        "paged:16+h2o:32/32",
        "paged:32+kivi:2/0+window:4/60",
    ] {
        let (window, _) = blocks(lane, Theme::Dark);
        let lane = &window.state().run_state().lanes[0];
        let record = lane.records.last().expect("a record");
        let pool = window.get_by_label_contains("pool: ");
        let label = pool.accesskit_node().label().expect("a name");
        let counted = label.split(", ").find_map(|part| part.strip_suffix(" dead slots")).expect("dead slots");
        let counted: u64 = counted.parse().expect("a number");
        assert_eq!(counted * picture(&window).token_bytes, record.dead_bytes, "{}: {label}", lane.name);
        assert!(record.dead_bytes > 0);
    }
}

#[test]
fn dead_bytes_are_a_series_of_the_memory_plot_and_a_column_of_the_table() {
    let mut window = window(&Options { lanes: "contiguous,contiguous+window:4/60".into(), ..options() });
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.get_by_label("memory plot: reserved, used, dead, formula");
    assert!(window.query_all_by_label("dead").count() >= 2, "a switch of the plot and a column of the table");
    let run = window.state().run_state();
    assert!(!run.lanes[0].has_dead() && run.lanes[1].has_dead());
}

#[test]
fn a_replayed_trace_with_evictions_shows_what_the_live_run_showed() {
    for lane in ["paged:16+h2o:32/32", "paged:32+kivi:2/0+window:4/60", "concat+window:4/60"] {
        let (live, _) = blocks(lane, Theme::Dark);
        let folder = tempfile::tempdir().expect("folder");
        let run = ["run", "--device", "cpu", "--tokens", "60", "--lanes", lane, "--out", "."];
        let mut kvlab = std::process::Command::new(env!("CARGO_BIN_EXE_kvlab"));
        let output = kvlab.args(run).current_dir(folder.path()).output().expect("kvlab runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let replay = Timeline::open(&folder.path().join("trace.jsonl")).expect("a trace");
        let options = Options { pane: Pane::Blocks, trace: Some(replay), ..options() };
        let (mut replayed, raster) = visible_window(&options, Theme::Dark, [1280.0, 800.0]);
        assert_eq!(picture(&replayed), picture(&live), "{lane}");
        let end = frame(&mut replayed, &raster, "replayed");
        for _ in 0..20 {
            press(&mut replayed, "Back");
        }
        assert_ne!(picture(&replayed), picture(&live));
        assert!(frame(&mut replayed, &raster, "replayed-back") != end);
        for _ in 0..20 {
            press(&mut replayed, "Forward");
        }
        assert_eq!(picture(&replayed), picture(&live), "{lane}, back and forth");
        // Not to the pixel: blocks that the newest change took are outlined, and the change before this was another one.
        frame(&mut replayed, &raster, "replayed");
    }
}

#[test]
fn every_preset_runs() {
    // The others are of models that take long to make.
    for preset in PRESETS.iter().filter(|preset| preset.model.is_none()) {
        let mut window = window(&Options { tokens: 2, ..options() });
        press(&mut window, "Presets");
        window.run_steps(4);
        press(&mut window, preset.name);
        window.state_mut().form_mut().tokens = 2;
        window.step();
        press(&mut window, "Run");
        until(&mut window, "finished", phase_is(Phase::Finished));
        assert_eq!(tokens(&window), vec![2; parse_lanes(preset.lanes).expect(preset.name).len()], "{}", preset.name);
        assert_eq!(window.state().run_state().is_forced, preset.forced, "{}", preset.name);
    }
}

#[test]
fn the_attention_pane_takes_evicted_tokens() {
    let options = Options { pane: Pane::Attention, lanes: "paged:16+window:4/20".into(), tokens: 40, ..options() };
    let (mut window, raster) = visible_window(&options, Theme::Dark, [1280.0, 800.0]);
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    frame(&mut window, &raster, "attention");
    let run = window.state().run_state();
    let rows = &run.attention.first().expect("watched").rows;
    // The newest of 106 tokens sees the first 4, itself and 20 before it in each of the heads; nothing else.
    let newest = rows.last().expect("a row").chunks(rows.len());
    let seen: std::collections::BTreeSet<usize> =
        newest.flat_map(|head| head.iter().enumerate().filter(|(_, code)| **code > 0).map(|(key, _)| key)).collect();
    assert!(seen.iter().all(|key| *key < 4 || *key >= rows.len() - 21), "{seen:?}");
    window.check_accessibility();
}
