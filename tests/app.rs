//! The window, driven as a person drives it: through the names of its buttons and fields, on the real
//! engine and the embedded model.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use std::time::Duration;

use driver::{frame, is_enabled, leave_field, options, phase_is, press, tokens, until, visible_window, window, write};
use egui::{Key, Role, Theme};
use egui_kittest::kittest::Queryable;
use kvlab::app::{Options, state::Phase, theme::lane_color};

#[test]
fn a_run_to_its_end_shows_every_token_of_every_lane() {
    let mut window = window(&options());
    window.get_by_label("ready");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));

    assert_eq!(tokens(&window), [12; 4]);
    let lanes = &window.state().run_state().lanes;
    for lane in lanes {
        assert_eq!(lane.decode().len(), 11, "{}", lane.name);
        assert!(!lane.text.is_empty());
        if lane.is_lossless {
            assert_eq!((&lane.text, lane.first_divergence), (&lanes[0].text, None), "{}", lane.name);
        }
    }
    window.get_by_label("finished: 12 of 12 tokens");
    window.get_by_label("latency plot, linear scale, decode points of each lane: 11, 11, 11, 11");
    window.get_by_label("memory plot: reserved, used, formula");
    assert!(window.query_all_by_label_contains("same tokens as none").count() >= 2);
    window.check_accessibility();
}

#[test]
fn the_latency_plot_has_a_log_scale() {
    let mut window = window(&options());
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.get_by_label("log scale").click();
    window.run_steps(2);
    window.get_by_label("latency plot, log scale, decode points of each lane: 11, 11, 11, 11");
}

#[test]
fn memory_series_can_be_chosen_and_copies_have_a_plot() {
    let mut window = window(&Options { lanes: "concat,contiguous".into(), ..options() });
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.get_by_label("copied plot: copied");
    window.get_by_role_and_label(Role::CheckBox, "copied").click();
    window.get_by_role_and_label(Role::CheckBox, "held").click();
    window.run_steps(2);
    window.get_by_label("memory plot: reserved, held, used, formula");
    assert!(window.query_by_label("copied plot: copied").is_none());
}

#[test]
fn a_lane_can_be_hidden_in_the_plots() {
    let mut window = window(&options());
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.get_by_role_and_label(Role::CheckBox, "plot none").click();
    window.run_steps(2);
    let shown: Vec<usize> = window.state().run_state().shown_lanes().map(|(index, _)| index).collect();
    assert_eq!(shown, [1, 2, 3], "colours stay with their lanes");
}

#[test]
fn a_divergence_is_named_and_marked() {
    // A hot sampler with one seed per lane's own logits: int8's differ a little, so some token will.
    let mut window = window(&Options { lanes: "contiguous,contiguous+int8".into(), tokens: 200, ..options() });
    window.state_mut().form_mut().temperature = 1.5;
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let lane = &window.state().run_state().lanes[1];
    let at = lane.first_divergence.expect("200 tokens of hot sampling differ somewhere");
    assert!(lane.records[at].token_id != window.state().run_state().lanes[0].records[at].token_id);
    press(&mut window, &format!("first divergence at token {at}"));
    window.run_steps(2);
}

#[test]
fn random_weights_are_called_random() {
    let model = "shape:distilgpt2,ctx=64".into();
    let mut window = window(&Options { model, lanes: "contiguous".into(), tokens: 2, ..options() });
    write(&mut window, "Prompt", Role::MultilineTextInput, "Tom");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let said = window.query_all_by_label_contains("random weights: the text means nothing").count();
    assert_eq!(said, 2, "on top and above the text");
}

#[test]
fn pause_holds_step_makes_one_token_and_resume_goes_on() {
    let mut window = window(&Options { tokens: 200, ..options() });
    press(&mut window, "Run");
    until(&mut window, "at its second token", |app| app.run_state().progress() >= 2);
    press(&mut window, "Pause");
    until(&mut window, "paused", phase_is(Phase::Paused));
    let held = tokens(&window);
    assert!(held.iter().all(|n| *n == held[0] && *n < 200), "{held:?}");
    for _ in 0..20 {
        window.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(tokens(&window), held, "the engine went on while it was paused");

    for made in 1..=2 {
        press(&mut window, "Step one token");
        let expected = held[0] + made;
        until(&mut window, "a token further", move |app| {
            app.run_state().progress() == expected && app.run_state().phase == Phase::Paused
        });
        assert!(tokens(&window).iter().all(|n| *n == expected), "{:?}", tokens(&window));
    }
    press(&mut window, "Resume");
    until(&mut window, "further", move |app| app.run_state().progress() > held[0] + 3);
    press(&mut window, "Cancel");
    until(&mut window, "cancelled", phase_is(Phase::Cancelled));
}

#[test]
fn a_run_can_begin_with_a_step() {
    let mut window = window(&options());
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    assert_eq!(tokens(&window), [1; 4]);
}

#[test]
fn cancel_keeps_what_was_measured_and_the_next_run_works() {
    let mut window = window(&Options { tokens: 800, ..options() });
    press(&mut window, "Run");
    until(&mut window, "under way", |app| app.run_state().progress() >= 1);
    assert!(!is_enabled(&window, "Run"));
    press(&mut window, "Cancel");
    until(&mut window, "cancelled", phase_is(Phase::Cancelled));
    assert!(tokens(&window).iter().all(|n| *n >= 1 && *n < 800));

    window.state_mut().form_mut().tokens = 3;
    window.step();
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(tokens(&window), [3; 4]);
}

#[test]
fn reset_empties_the_window_even_in_the_middle_of_a_run() {
    let mut window = window(&Options { tokens: 800, ..options() });
    press(&mut window, "Run");
    until(&mut window, "under way", |app| app.run_state().progress() >= 1);
    press(&mut window, "Reset");
    window.run_steps(3);
    assert!(window.state().run_state().lanes.is_empty());
    assert_eq!(window.state().run_state().phase, Phase::Empty);
    assert!(is_enabled(&window, "Run") && !is_enabled(&window, "Reset") && !is_enabled(&window, "Cancel"));
}

#[test]
fn a_bad_lane_shows_its_error_and_cannot_run() {
    let mut window = window(&options());
    write(&mut window, "Lanes", Role::MultilineTextInput, "none,paged:0");
    assert!(window.query_all_by_label_contains("a block holds at least 1 token").count() >= 1);
    assert!(!is_enabled(&window, "Run") && !is_enabled(&window, "Step one token"));
    press(&mut window, "Presets");
    window.run_steps(4);
    press(&mut window, "Layouts");
    window.step();
    assert!(window.query_by_label_contains("a block holds at least 1 token").is_none());
    assert!(is_enabled(&window, "Run"));
}

#[test]
fn an_error_of_the_engine_is_shown_and_the_window_lives_on() {
    let mut window = window(&options());
    write(&mut window, "Cache memory", Role::TextInput, "1 B");
    press(&mut window, "Run");
    until(&mut window, "failed", phase_is(Phase::Failed));
    window.get_by_label_contains("the memory limit does not hold one block");
    press(&mut window, "Dismiss");
    window.step();
    assert!(window.query_by_label_contains("the memory limit does not hold one block").is_none());

    write(&mut window, "Cache memory", Role::TextInput, "nonsense");
    assert!(!is_enabled(&window, "Run"));
    write(&mut window, "Cache memory", Role::TextInput, "16 MiB");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(tokens(&window), [12; 4]);
}

#[test]
fn a_lane_whose_cache_is_full_stops_with_its_error_and_the_others_finish() {
    let mut window = window(&Options { lanes: "none,paged:16".into(), prompt: "Mia".into(), tokens: 40, ..options() });
    // One block of 16 tokens: 2 x 4 layers x 192 numbers x 4 bytes x 16.
    write(&mut window, "Cache memory", Role::TextInput, "200 KB");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    let counts = tokens(&window);
    assert!(counts[0] == 40 && (1..40).contains(&counts[1]), "{counts:?}");
    window.get_by_label_contains("cache is full");
    window.get_by_label_contains("same tokens as none");
}

#[test]
fn a_prompt_past_the_context_shows_the_error() {
    let mut window = window(&Options { tokens: 2_000, ..options() });
    press(&mut window, "Run");
    until(&mut window, "failed", phase_is(Phase::Failed));
    window.get_by_label_contains("Shorten the prompt or generate at most");
}

#[test]
fn keys_run_pause_and_step_unless_a_field_has_the_keyboard() {
    let mut window = window(&Options { tokens: 800, ..options() });
    window.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    window.step();
    window.key_press(Key::Space);
    window.run_steps(2);
    assert_eq!(window.state().run_state().phase, Phase::Empty, "a space in the prompt is text");
    leave_field(&mut window);

    window.key_press(Key::Space);
    until(&mut window, "running", |app| app.run_state().progress() >= 1);
    window.key_press(Key::Space);
    until(&mut window, "paused", phase_is(Phase::Paused));
    let held = tokens(&window)[0];
    window.key_press(Key::ArrowRight);
    until(&mut window, "a token further", move |app| app.run_state().progress() == held + 1);
}

#[test]
fn the_space_bar_pauses_a_run_that_the_mouse_began() {
    let mut window = window(&Options { tokens: 800, ..options() });
    press(&mut window, "Run");
    until(&mut window, "running", |app| app.run_state().progress() >= 1);
    window.key_press(Key::Space);
    until(&mut window, "paused", phase_is(Phase::Paused));
}

#[test]
fn frames_come_while_the_engine_computes() {
    let mut window = window(&Options { tokens: 150, ..options() });
    press(&mut window, "Run");
    let (mut frames, mut seen) = (0, std::collections::BTreeSet::new());
    until(&mut window, "running", phase_is(Phase::Running));
    while window.state().run_state().phase == Phase::Running && frames < 5_000 {
        window.step();
        frames += 1;
        seen.insert(window.state().run_state().progress());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(frames > 20 && seen.len() > 5, "{frames} frames, {} different counts", seen.len());
}

#[test]
fn a_run_starts_by_itself_when_asked() {
    let mut window = window(&Options { autorun: true, tokens: 2, ..options() });
    until(&mut window, "finished", phase_is(Phase::Finished));
    assert_eq!(tokens(&window), [2; 4]);
}

#[test]
fn a_run_that_cannot_start_by_itself_says_why() {
    let mut window = window(&Options { autorun: true, lanes: "cloud".into(), ..options() });
    window.step();
    assert_eq!(window.state().run_state().phase, Phase::Failed);
    assert!(window.query_all_by_label_contains("unknown layout `cloud`").count() >= 1);
}

#[test]
fn the_frame_shows_every_lane_in_its_colour_in_both_themes() {
    for theme in [Theme::Dark, Theme::Light] {
        let (mut window, raster) = visible_window(&options(), theme, [1280.0, 800.0]);
        press(&mut window, "Run");
        until(&mut window, "finished", phase_is(Phase::Finished));
        let frame = frame(&mut window, &raster, &format!("{theme:?}"));
        let visuals = window.ctx.style_of(theme).visuals.clone();
        for lane in 0..4 {
            let color = lane_color(lane, &visuals);
            let pixels = frame.pixels.iter().filter(|pixel| **pixel == color).count();
            assert!(pixels > 200, "lane {lane} in {theme:?}: {pixels} pixels");
        }
        let background = frame.pixels.iter().filter(|pixel| **pixel == visuals.panel_fill).count();
        let all = frame.pixels.len();
        assert!(background > all / 4 && background < all * 95 / 100, "{background} of {all} pixels are background");
    }
}
