//! The attention and the blocks pane as instruments: pointed at, pinned, zoomed and compared, on the real engine.
//! `KVLAB_TEST_PICTURES=DIR` keeps what some of them show.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use driver::{frame, options, phase_is, press, until, visible_window, window};
use egui::{
    Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, Rect, Role, Theme, TouchPhase, pos2,
    vec2,
};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use kvlab::app::{App, Options, Pane, state::Phase};

fn finished(pane: Pane, lanes: &str, tokens: usize) -> Harness<'static, App> {
    let mut window = window(&Options { pane, lanes: lanes.into(), tokens, ..options() });
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.run_steps(2);
    window
}

fn point(window: &mut Harness<'_, App>, at: Pos2) {
    window.hover_at(at);
    window.run_steps(2);
}

fn click(window: &mut Harness<'_, App>, at: Pos2) {
    point(window, at);
    for pressed in [true, false] {
        let button = PointerButton::Primary;
        window.event(Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE });
        window.step();
    }
    window.run_steps(2);
}

fn has(window: &Harness<'_, App>, text: &str) -> bool {
    window.query_all_by_label_contains(text).count() > 0
}

fn rect(window: &Harness<'_, App>, name: &str) -> Rect {
    window.get_by_label_contains(name).rect()
}

/// The middle of a cell of the large map; the run will have read `n_tokens`.
fn weight(window: &Harness<'_, App>, query: f32, key: f32, n_tokens: f32) -> Pos2 {
    let map = rect(window, "attention of layer");
    map.min + vec2(key + 0.5, query + 0.5) * map.width() / n_tokens
}

#[expect(clippy::cast_precision_loss, reason = "a few tokens")]
fn n_rows(window: &Harness<'_, App>) -> f32 {
    window.state().run_state().attention[0].rows.len() as f32
}

#[test]
fn a_row_of_the_map_is_pinned_by_a_click_and_released_by_esc() {
    let mut window = finished(Pane::Attention, "contiguous", 12);
    let n = n_rows(&window);
    assert!(has(&window, "The newest stored token"));
    let at = weight(&window, 9.0, 2.0, n);
    point(&mut window, at);
    window.get_by_label("attention profile: what token 9 looks at");
    assert!(has(&window, "Token 9 "));
    click(&mut window, at);
    let elsewhere = weight(&window, 20.0, 3.0, n);
    point(&mut window, elsewhere);
    assert!(has(&window, "Pinned: token 9 "), "the pointer went on");
    window.get_by_role_and_label(Role::Button, "columns").click();
    window.run_steps(2);
    window.get_by_label("attention profile: what token 9 is looked at by");
    window.key_press(Key::Escape);
    window.remove_cursor();
    window.run_steps(3);
    window.get_by_label("attention profile: what token 0 is looked at by");
    click(&mut window, elsewhere);
    assert!(has(&window, "Pinned: token 3 "), "a column");
    click(&mut window, elsewhere);
    assert!(!has(&window, "Pinned: "), "again on the same");
    window.check_accessibility();
}

#[test]
fn the_wheel_zooms_the_map_around_the_pointer() {
    let mut window = finished(Pane::Attention, "contiguous", 12);
    let n = n_rows(&window);
    assert!(!has(&window, "Show all"));
    let at = weight(&window, 30.0, 4.0, n);
    point(&mut window, at);
    window.get_by_label("attention profile: what token 30 looks at");
    let (unit, phase, modifiers) = (MouseWheelUnit::Point, TouchPhase::Move, Modifiers::NONE);
    let source = MouseWheelSource::Wheel;
    window.event(Event::MouseWheel { unit, delta: vec2(0.0, 150.0), phase, modifiers, source });
    window.run_steps(12);
    window.get_by_label("Show all");
    window.get_by_label("attention profile: what token 30 looks at");
    // What lies at the edge is another token now.
    let map = rect(&window, "attention of layer");
    point(&mut window, pos2(at.x, map.bottom() - 1.0));
    let newest = format!("attention profile: what token {} looks at", n - 1.0);
    assert_eq!(window.query_all_by_label(&newest).count(), 0);
    press(&mut window, "Show all");
    point(&mut window, pos2(at.x, map.bottom() - 1.0));
    window.get_by_label(&newest);
}

#[test]
fn attention_sinks_are_named_and_shaded_regions_explained() {
    let window = finished(Pane::Attention, "paged:32+kivi:2/0+window:4/40", 60);
    window.get_by_label_contains("of all attention goes to the first 4 tokens");
    for mark in ["evicted by now", "quantized by now", "scale of weights"] {
        window.get_by_label(mark);
    }
    assert!(has(&window, "lines: "), "blocks");
    let plain = finished(Pane::Attention, "contiguous", 4);
    assert!(!has(&plain, "evicted by now") && !has(&plain, "quantized by now"));
}

#[test]
fn a_lane_is_compared_with_the_first_as_far_as_both_have_read_the_same() {
    let mut window = window(&Options {
        pane: Pane::Attention,
        lanes: "contiguous,paged:16+int4".into(),
        tokens: 40,
        forced: true,
        ..options()
    });
    window.get_by_role_and_label(Role::Button, "Attention").click();
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    window.run_steps(2);
    let switch = "difference to contiguous";
    assert!(window.get_by_role_and_label(Role::CheckBox, switch).accesskit_node().is_disabled(), "it is the first");
    window.get_by_role_and_label(Role::ComboBox, "lane").click();
    window.run_steps(2);
    window.get_by_role_and_label(Role::Button, "paged:16+int4").click();
    window.run_steps(2);
    until(&mut window, "watched", |app| app.run_state().attention_of(1).is_some());
    window.get_by_role_and_label(Role::CheckBox, switch).click();
    press(&mut window, "Resume");
    until(&mut window, "finished", phase_is(Phase::Finished));
    until(&mut window, "both", |app| app.run_state().attention.len() == 2);
    window.run_steps(4);
    let run = window.state().run_state();
    let n = run.attention[1].rows.len();
    assert_eq!(run.attention[0].rows.len(), n, "both lanes are watched to the end");
    window.get_by_label(&format!("attention of layer 5, head 1 less that of contiguous: {n} rows"));
    window.get_by_label_contains(&format!("{n} rows, in which both have read the same."));
    window.get_by_label("scale of differences");
    assert!(window.query_all_by_label_contains(" points").count() >= 8, "the largest differences");
}

/// The middle of a slot of a block in the first row of the pool or of a table.
fn slot(window: &Harness<'_, App>, area: &str, block: f32, slot: f32, side: f32) -> Pos2 {
    let area = rect(window, area);
    area.min + vec2(block * (side + 3.0) + (slot + 0.5) * side / 16.0, side * 0.5)
}

#[test]
fn a_slot_is_pointed_at_pinned_and_followed_through_the_run() {
    let mut window = window(&Options { pane: Pane::Blocks, lanes: "paged:16".into(), tokens: 40, ..options() });
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    window.run_steps(2);
    assert!(has(&window, "Point at a block, a slot or a word"));
    assert!(has(&window, "Free list: ") && has(&window, "Format f32. "));
    // Cells of a short table are 80 points wide.
    let at = slot(&window, "block table of", 1.0, 3.0, 80.0);
    point(&mut window, at);
    assert!(has(&window, ": token 19 of the lane"), "block 1 of the table, slot 3");
    assert!(has(&window, "block 1 of the table, slot 3") && has(&window, "open the Attention pane"));
    click(&mut window, at);
    window.remove_cursor();
    press(&mut window, "Resume");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.run_steps(2);
    assert!(has(&window, ": token 19 of the lane") && has(&window, "pinned: Esc releases it"));
    window.key_press(Key::Escape);
    window.remove_cursor();
    window.run_steps(3);
    assert!(has(&window, "Point at a block, a slot or a word"));
    // A block of the pool that nobody holds.
    let pool = rect(&window, "pool: ");
    click(&mut window, pool.left_bottom() + vec2(8.0, -12.0));
    assert!(has(&window, "free"));
    window.check_accessibility();
}

#[test]
fn a_block_is_marked_when_it_is_taken() {
    let mut window = window(&Options { pane: Pane::Blocks, lanes: "paged:16".into(), tokens: 40, ..options() });
    press(&mut window, "Step one token");
    until(&mut window, "paused", phase_is(Phase::Paused));
    window.run_steps(2);
    assert!(!has(&window, "taken in the last change"), "the first picture");
    let held = |window: &Harness<'_, App>| {
        let picture = window.state().run_state().lanes[0].blocks.clone().expect("blocks");
        picture.sequences[0].blocks.len()
    };
    let before = held(&window);
    for _ in 0..17 {
        let n = window.state().run_state().progress();
        press(&mut window, "Step one token");
        until(&mut window, "a token", |app| app.run_state().progress() > n && app.run_state().phase == Phase::Paused);
    }
    window.run_steps(2);
    assert!(held(&window) > before);
    window.get_by_label("taken in the last change");
}

#[test]
fn both_panes_show_in_both_themes() {
    for theme in [Theme::Dark, Theme::Light] {
        let lanes = "contiguous,paged:16+int4+window:4/40";
        let options = Options { pane: Pane::Attention, lanes: lanes.into(), tokens: 60, forced: true, ..options() };
        let (mut window, raster) = visible_window(&options, theme, [1280.0, 800.0]);
        press(&mut window, "Run");
        until(&mut window, "finished", phase_is(Phase::Finished));
        let whole = frame(&mut window, &raster, &format!("instruments-first-{theme:?}"));
        window.get_by_role_and_label(Role::ComboBox, "lane").click();
        window.run_steps(2);
        window.get_by_role_and_label(Role::Button, "paged:16+int4+window:4/40").click();
        window.run_steps(2);
        until(&mut window, "watched", |app| app.run_state().attention_of(1).is_some());
        let window_lane = frame(&mut window, &raster, &format!("instruments-window-{theme:?}"));
        assert!(window_lane != whole);
        window.get_by_role_and_label(Role::CheckBox, "difference to contiguous").click();
        window.run_steps(2);
        until(&mut window, "both", |app| app.run_state().attention.len() == 2);
        let difference = frame(&mut window, &raster, &format!("instruments-difference-{theme:?}"));
        assert!(difference != window_lane);
        press(&mut window, "Blocks");
        window.run_steps(2);
        let at = rect(&window, "block table of").min + vec2(40.0, 40.0);
        click(&mut window, at);
        frame(&mut window, &raster, &format!("instruments-blocks-{theme:?}"));
        assert!(has(&window, "pinned: Esc releases it"));
    }
}
