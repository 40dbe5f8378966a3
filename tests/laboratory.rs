//! The window as a laboratory: its controls, driven by their names, on the real engine and the embedded model.
//! `KVLAB_TEST_PICTURES=DIR` keeps what some of them show.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use driver::{frame, is_enabled, options, phase_is, press, tokens, until, visible_window, window, write};
use egui::{Role, Theme};
use egui_kittest::{Harness, kittest::Queryable};
use kvlab::app::{App, Options, Pane, state::Phase};

fn lanes(window: &mut Harness<'_, App>) -> String {
    window.state_mut().form_mut().lanes.clone()
}

fn choose(window: &mut Harness<'_, App>, menu: &str, item: &str) {
    press(window, menu);
    window.step();
    press(window, item);
    window.step();
}

fn pause_at(window: &mut Harness<'_, App>, token: usize) {
    press(window, "Run");
    until(window, "far enough", move |app| app.run_state().progress() >= token);
    press(window, "Pause");
    until(window, "paused", phase_is(Phase::Paused));
}

#[test]
fn lanes_are_moved_doubled_removed_and_written_on_the_board() {
    let mut window = window(&Options { lanes: "none,paged:16,concat".into(), ..options() });
    choose(&mut window, "options of lane B", "Move up");
    assert_eq!(lanes(&mut window), "paged:16,none,concat");
    choose(&mut window, "options of lane A", "Move down");
    assert_eq!(lanes(&mut window), "none,paged:16,concat");
    choose(&mut window, "options of lane C", "Duplicate");
    assert_eq!(lanes(&mut window), "none,paged:16,concat,concat");
    choose(&mut window, "options of lane D", "Remove");
    write(&mut window, "lane C", Role::TextInput, "contiguous+int8");
    assert_eq!(lanes(&mut window), "none,paged:16,contiguous+int8");
    // The menus show a lane that was chosen, and change it.
    press(&mut window, "lane B");
    window.step();
    window.get_by_role_and_label(Role::ComboBox, "Format").click();
    window.run_steps(2);
    press(&mut window, "q8_0");
    window.run_steps(2);
    assert_eq!(lanes(&mut window), "none,paged:16+q8_0,contiguous+int8");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(tokens(&window), [12; 3]);
    window.check_accessibility();
}

#[test]
fn a_paused_lane_goes_on_in_another_cache_with_the_same_tokens() {
    let options = Options { lanes: "contiguous,contiguous".into(), tokens: 60, ..options() };
    let (mut window, raster) = visible_window(&options, Theme::Dark, [1280.0, 800.0]);
    pause_at(&mut window, 10);
    let held = tokens(&window)[0];
    assert!(window.query_by_label("switch lane B").is_none(), "it is what is written there");
    write(&mut window, "lane B", Role::TextInput, "paged:16+f16");
    press(&mut window, "switch lane B");
    until(&mut window, "switched", |app| app.run_state().lanes[1].name == "paged:16+f16");
    let switch = window.state().run_state().lanes[1].switches[0].clone();
    assert_eq!((switch.step, switch.from.as_str()), (held, "contiguous#2"));
    press(&mut window, "Resume");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let run = window.state().run_state();
    assert_eq!((run.lanes[1].records.len(), run.lanes[1].first_divergence), (60, None), "16 bits lose no token here");
    let bytes = |lane: usize, step: usize| run.lanes[lane].records[step].used_bytes;
    assert_eq!(bytes(1, held - 1), bytes(0, held - 1));
    assert_eq!(bytes(1, 59) * 2, bytes(0, 59));
    frame(&mut window, &raster, "switched");
}

#[test]
fn forced_lanes_read_the_same_tokens_and_are_compared() {
    let lanes = "contiguous,paged:16+q4_0,paged:16+window:4/20".into();
    let options = Options { lanes, tokens: 120, ..options() };
    let (mut window, raster) = visible_window(&options, Theme::Dark, [1280.0, 800.0]);
    window.get_by_role_and_label(Role::CheckBox, "Same tokens in every lane").scroll_to_me();
    window.run_steps(3);
    window.get_by_role_and_label(Role::CheckBox, "Same tokens in every lane").click();
    window.step();
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let run = window.state().run_state();
    assert!(run.is_forced);
    for lane in &run.lanes[1..] {
        assert_eq!(lane.compared.len(), 120);
        assert!(lane.differing.len() > 1, "{} says other words more than once", lane.name);
        assert_eq!(lane.agreed + lane.differing.len(), 120);
    }
    frame(&mut window, &raster, "forced");
}

#[test]
fn a_step_can_be_followed_layer_by_layer() {
    let options = Options { lanes: "none,contiguous,paged:16+q4_0".into(), ..options() };
    let (mut window, raster) = visible_window(&options, Theme::Dark, [1280.0, 800.0]);
    press(&mut window, "Step a layer");
    let layers = |app: &App| app.run_state().layers.iter().map(Vec::len).collect::<Vec<_>>();
    until(&mut window, "at its first layer", move |app| layers(app) == [1; 3]);
    for done in 2..=4 {
        press(&mut window, "Step a layer");
        until(&mut window, "a layer on", move |app| layers(app) == [done; 3]);
    }
    assert_eq!(tokens(&window), [0; 3]);
    window.get_by_label_contains("layer 4 of 5");
    frame(&mut window, &raster, "layers");
    press(&mut window, "Step a layer");
    until(&mut window, "the token", |app| app.run_state().progress() == 1 && app.run_state().phase == Phase::Paused);
    window.get_by_label_contains("shows here how the next token is made");
}

#[test]
fn a_speed_limit_counts_at_once() {
    let mut window = window(&Options { tokens: 40, ..options() });
    window.state_mut().form_mut().speed = kvlab::app::form::Optional { is_on: true, value: 0.1 };
    press(&mut window, "Run");
    until(&mut window, "at its first token", |app| app.run_state().progress() == 1);
    window.state_mut().form_mut().speed.is_on = false;
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(tokens(&window), [40; 4]);
}

#[test]
fn a_run_is_run_again_with_its_own_settings() {
    let mut window = window(&Options { tokens: 5, ..options() });
    assert!(!is_enabled(&window, "Rerun"));
    window.state_mut().form_mut().temperature = 1.5;
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let first = window.state().run_state().lanes[1].text.clone();
    window.state_mut().form_mut().temperature = 0.0;
    window.state_mut().form_mut().tokens = 9;
    window.step();
    press(&mut window, "Rerun");
    until(&mut window, "begun anew", |app| app.run_state().lanes[1].records.is_empty());
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(window.state().run_state().lanes[1].text, first);
    assert_eq!(tokens(&window), [5; 4]);
}

#[test]
fn the_past_of_a_live_run_can_be_looked_at_while_it_goes_on() {
    let mut window = window(&Options { tokens: 300, lanes: "contiguous,paged:16".into(), ..options() });
    pause_at(&mut window, 20);
    press(&mut window, "Back");
    let shown = tokens(&window)[0];
    press(&mut window, "Resume");
    until(&mut window, "further", move |app| app.newest_state().progress() > shown + 20);
    assert_eq!(tokens(&window)[0], shown, "what is looked at stays");
    window.get_by_label_contains("an earlier moment");
    press(&mut window, "To the end");
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(tokens(&window), [300; 2]);
    press(&mut window, "Play");
    until(&mut window, "played again", |app| app.run_state().progress() < 100);
    press(&mut window, "Stop playing");
    window.step();
    assert!(is_enabled(&window, "To the end"));
}

#[test]
fn two_panes_stand_side_by_side() {
    let options = Options { lanes: "contiguous,paged:16".into(), pane: Pane::Blocks, tokens: 40, ..options() };
    let (mut window, raster) = visible_window(&options, Theme::Light, [1600.0, 900.0]);
    choose(&mut window, "pane beside", "with Attention");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.get_by_label_contains("block table of");
    assert!(window.query_all_by_label_contains("attention of layer").count() >= 1);
    frame(&mut window, &raster, "beside");
    window.check_accessibility();
}

#[test]
fn a_run_is_kept_opened_and_put_beside_another() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("kept.jsonl");
    let mut window = window(&Options { lanes: "contiguous,paged:16".into(), ..options() });
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    file(&mut window, "Save trace", &path);
    until(&mut window, "saved", |_| path.exists());
    let texts: Vec<String> = window.state().run_state().lanes.iter().map(|lane| lane.text.clone()).collect();
    file(&mut window, "Open trace", &path);
    until(&mut window, "opened", phase_is(Phase::Replay));
    let shown: Vec<String> = window.state().run_state().lanes.iter().map(|lane| lane.text.clone()).collect();
    assert_eq!(shown, texts);
    file(&mut window, "Put a trace beside it", &path);
    until(&mut window, "side by side", |app| app.run_state().lanes.len() == 4);
    assert_eq!(window.state().run_state().lanes[3].name, "paged:16 @ B");
    assert_eq!(tokens(&window), [12; 4]);
    let exported = folder.path().join("export");
    file(&mut window, "Export", &exported);
    until(&mut window, "exported", |_| exported.join("summary.json").exists());
    for name in ["trace.jsonl", "records.csv", "summary.json", "latency.svg", "latency.png", "memory.svg", "memory.png"]
    {
        assert!(exported.join(name).exists(), "{name}");
    }
}

fn file(window: &mut Harness<'_, App>, task: &str, path: &std::path::Path) {
    choose(window, "File", task);
    window.run_steps(2);
    write(window, "Path", Role::TextInput, &path.display().to_string());
    let verb = if task.starts_with("Open") || task.starts_with("Put") { "Open" } else { "Write" };
    press(window, verb);
    window.step();
}

#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

#[test]
fn a_trace_that_is_dropped_ends_no_run() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("kept.jsonl");
    let mut window = window(&Options { lanes: "contiguous".into(), ..options() });
    let drop_it = |window: &mut Harness<'_, App>| {
        window.input_mut().dropped_files.push(std::sync::Arc::new(Dropped(path.clone())));
        window.step();
    };
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    file(&mut window, "Save trace", &path);
    until(&mut window, "saved", |_| path.exists());
    press(&mut window, "Reset");
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    drop_it(&mut window);
    window.run_steps(2);
    assert!(window.query_all_by_label_contains("a run is under way; let it finish, or cancel it").count() >= 1);
    press(&mut window, "Dismiss");
    window.run_steps(2);
    assert_eq!((&window.state().newest_state().phase, tokens(&window)), (&Phase::Paused, vec![1]));
    press(&mut window, "Resume");
    until(&mut window, "finished", phase_is(Phase::Finished));
    drop_it(&mut window);
    until(&mut window, "opened", phase_is(Phase::Replay));
}

#[test]
fn a_file_that_is_no_trace_is_refused_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let (damaged, newer) = (folder.path().join("damaged.jsonl"), folder.path().join("newer.jsonl"));
    std::fs::write(&damaged, "not a trace\n").expect("writable");
    std::fs::write(&newer, "{\"type\":\"header\",\"schema\":99}\n").expect("writable");
    let mut window = window(&options());
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    for (path, why) in [(&damaged, "not a kvlab trace"), (&newer, "schema 99, newer than")] {
        file(&mut window, "Open trace", path);
        until(&mut window, "refused", |app| app.newest_state().error.is_some());
        assert!(window.query_all_by_label_contains(why).count() >= 1, "{why}");
        press(&mut window, "Dismiss");
        window.step();
        assert_eq!(tokens(&window), [12; 4], "the run is still there");
    }
}

#[test]
fn a_tour_runs_points_and_asks_before_it_shows() {
    let (mut window, raster) = visible_window(&Options { learns: true, ..options() }, Theme::Dark, [1440.0, 900.0]);
    press(&mut window, "Why decode slows down without a cache");
    window.run_steps(2);
    press(&mut window, "Next");
    window.step();
    assert!(!is_enabled(&window, "Next"), "a prediction comes first");
    press(&mut window, "It grows with the length of the text");
    // What is noted moves what stands below it.
    window.run_steps(3);
    press(&mut window, "Run both lanes");
    until(&mut window, "under way", |app| app.run_state().progress() >= 20);
    assert_eq!((window.state().run_state().tokens, tokens(&window).len()), (200, 2));
    press(&mut window, "Cancel");
    until(&mut window, "cancelled", phase_is(Phase::Cancelled));
    assert!(is_enabled(&window, "Next"));
    frame(&mut window, &raster, "tour");
    window.check_accessibility();
}

#[test]
fn every_pane_is_drawn_from_a_small_laptop_to_a_large_screen() {
    let lanes = "none,contiguous,paged:16,paged:16+int8,paged:32+kivi:2,paged:16+window:4/20".into();
    let look = Some(kvlab::app::theme::Look::Projector);
    for (size, look) in [([1280.0, 720.0], None), ([1280.0, 720.0], look), ([3840.0, 2160.0], None)] {
        let options = Options { lanes: String::clone(&lanes), look, tokens: 20, ..options() };
        let (mut window, raster) = visible_window(&options, Theme::Light, size);
        press(&mut window, "Run");
        until(&mut window, "finished", phase_is(Phase::Finished));
        for pane in Pane::ALL {
            press(&mut window, pane.name());
            window.run_steps(3);
            let name = format!("{}-{}-{}", pane.name(), size[0], look.map_or("usual", |_| "projector"));
            let frame = frame(&mut window, &raster, &name);
            let ground = window.ctx.global_style().visuals.panel_fill;
            let drawn = frame.pixels.iter().filter(|pixel| **pixel != ground).count();
            assert!(drawn > frame.pixels.len() / 100, "{name}: {drawn} pixels");
            // Nothing hangs out of the window at the right.
            let width = window.ctx.content_rect().width();
            let run = window.get_by_role_and_label(Role::Button, "Help").rect();
            assert!(run.right() <= width + 0.5, "{name}: Help ends at {}", run.right());
        }
    }
}

#[test]
fn keys_do_what_their_help_says() {
    let mut window = window(&Options { lanes: "contiguous".into(), tokens: 30, ..options() });
    let key = |window: &mut Harness<'_, App>, key| {
        window.key_press(key);
        window.run_steps(2);
    };
    key(&mut window, egui::Key::F1);
    window.get_by_label_contains("Starts, pauses or resumes a run");
    key(&mut window, egui::Key::Escape);
    assert!(window.query_by_label_contains("Starts, pauses or resumes a run").is_none());
    key(&mut window, egui::Key::Space);
    until(&mut window, "finished", phase_is(Phase::Finished));
    key(&mut window, egui::Key::ArrowLeft);
    assert_eq!(tokens(&window), [29]);
    key(&mut window, egui::Key::Home);
    assert_eq!(tokens(&window), [0]);
    key(&mut window, egui::Key::ArrowRight);
    assert_eq!(tokens(&window), [1]);
    key(&mut window, egui::Key::End);
    assert_eq!(tokens(&window), [30]);
    key(&mut window, egui::Key::Num3);
    window.get_by_label_contains("block table of");
    key(&mut window, egui::Key::PageUp);
    assert!(window.query_all_by_label_contains("attention of layer").count() >= 1 || window.state().waits());
    let dark = window.ctx.global_style().visuals.dark_mode;
    key(&mut window, egui::Key::T);
    assert_ne!(window.ctx.global_style().visuals.dark_mode, dark);
    key(&mut window, egui::Key::F2);
    window.get_by_role_and_label(Role::Button, "Why memory grows");
    key(&mut window, egui::Key::R);
    until(&mut window, "run again", phase_is(Phase::Finished));
    key(&mut window, egui::Key::L);
    until(&mut window, "a layer", |app| app.run_state().layers.iter().any(|layers| !layers.is_empty()));
    key(&mut window, egui::Key::Escape);
    until(&mut window, "cancelled", phase_is(Phase::Cancelled));
}
