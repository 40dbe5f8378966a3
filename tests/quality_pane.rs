//! The pane of quality: measured as a person measures, on the real engine and the embedded stories.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use std::sync::{Arc, atomic::AtomicBool};

use candle_core::Device;
use driver::{frame, is_enabled, options, phase_is, press, tokens, until, visible_window, window};
use egui::{Role, Theme};
use egui_kittest::kittest::Queryable;
use kvlab::{
    app::{App, Options, Pane, draw, quality::QualityForm, state::Phase, theme::lane_color},
    cache::spec::parse_lanes,
    experiment::quality::{LaneQuality, QualityRun, QualitySettings},
    model::{ModelSource, Passage},
};

/// Two stories, of which the second asks for something within its first 200 tokens.
const SHORT: QualityForm = QualityForm {
    stories: 2,
    tokens: 200,
    settings: QualitySettings { prompt_tokens: 16, greedy_tokens: 8, batch: 1 },
};

fn quality(lanes: &str, quality: QualityForm) -> Options {
    Options { pane: Pane::Quality, lanes: lanes.into(), quality, ..options() }
}

fn is(phase: Phase) -> impl Fn(&App) -> bool {
    move |app| app.quality_state().phase == phase
}

/// The same measured without a window.
fn measured(lanes: &str) -> Vec<LaneQuality> {
    let never = AtomicBool::new(false);
    let model = Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &never).expect("embedded"));
    let mut stories = Passage::held_out_stories().expect("embedded");
    stories.truncate(SHORT.stories);
    for story in &mut stories {
        story.truncate(SHORT.tokens);
    }
    let mut run = QualityRun::new(model, &parse_lanes(lanes).expect(lanes), stories, SHORT.settings).expect("a run");
    while run.step(&never).expect("a step").is_some() {}
    run.summaries()
}

#[test]
fn the_pane_shows_the_numbers_of_the_experiment() {
    let mut window = window(&quality("none,contiguous,paged:16+q4_0", SHORT));
    window.get_by_label("Press Measure quality");
    press(&mut window, "Measure quality");
    until(&mut window, "measured", is(Phase::Finished));

    let expected = measured("contiguous,paged:16+q4_0");
    assert_eq!(window.state().quality_state().report.as_ref().expect("a report").lanes, expected);
    let [exact, lossy] = &expected[..] else { panic!("two lanes: {expected:?}") };
    window.get_by_label("contiguous (exact)");
    let number = |value: Option<f64>| value.expect("measured");
    let mut texts = vec![];
    for lane in [exact, lossy] {
        texts.push(format!("{:.2} %", 100.0 * number(lane.top1_agreement)));
        texts.push(format!("{:.3}", number(lane.perplexity)));
        texts.extend(lane.recall.values().flatten().map(|share| format!("{:.1} %", 100.0 * share)));
    }
    texts.push(format!("{:.2e}", number(lossy.kl)));
    texts.push(format!("{:.0}", number(exact.bytes_per_token)));
    assert!(number(lossy.kl) > 0.0 && texts.len() > 6, "{texts:?}");
    for text in texts {
        assert!(window.query_all_by_label(&text).count() >= 1, "`{text}` is not in the table");
    }
    assert!(window.query_all_by_label("measured on 2 stories").count() >= 1);
    window.get_by_label_contains("none stores nothing");
    window.get_by_label_contains("quality against bytes: contiguous, 7680 bytes a token, KL 0 nats; paged:16+q4_0");
    window.get_by_label("KL by position: 2 lanes up to token 199");
    let (row, plot) = (window.get_by_label("paged:16+q4_0"), window.get_by_label_contains("quality against bytes"));
    assert!(row.rect().bottom() < plot.rect().top(), "the whole table is in sight");
    window.check_accessibility();
}

#[test]
fn a_measurement_takes_the_place_of_what_a_run_stored_and_the_window_says_so() {
    let mut window = window(&quality("paged:16+int8", SHORT));
    press(&mut window, "Run");
    until(&mut window, "run", phase_is(Phase::Finished));
    press(&mut window, "Measure quality");
    until(&mut window, "measured", is(Phase::Finished));
    press(&mut window, "Numbers");
    window.step();
    window.get_by_label_contains("The measurement of quality has taken the place of what the run stored");
    press(&mut window, "Attention");
    window.step();
    assert!(window.query_by_label_contains("attention of layer").is_none() && !window.state().waits());
}

#[test]
fn cancel_keeps_what_was_measured_and_says_that_it_is_unfinished() {
    // The exact lane is not among them, and is measured all the same.
    let mut window = window(&quality("paged:16,paged:16+int8", QualityForm { stories: 32, ..SHORT }));
    press(&mut window, "Measure quality");
    until(&mut window, "under way", |app| {
        app.quality_state().report.as_ref().is_some_and(|report| report.lanes.iter().all(|lane| lane.kl.is_some()))
    });
    assert!(!is_enabled(&window, "Measure quality") && !is_enabled(&window, "Run") && !is_enabled(&window, "Pause"));
    press(&mut window, "Cancel");
    until(&mut window, "cancelled", is(Phase::Cancelled));
    window.get_by_label_contains("Unfinished");
    window.get_by_label_contains("contiguous is added");
    let report = window.state().quality_state().report.clone().expect("kept");
    assert!(report.done_steps < report.all_steps && report.lanes.len() == 3);
    assert!(report.lanes[2].is_exact && report.lanes.iter().all(|lane| lane.kl.is_some()), "{:?}", report.lanes);
    window.check_accessibility();

    // The engine is free for a run, whose numbers do not touch these.
    press(&mut window, "Run");
    until(&mut window, "run", phase_is(Phase::Finished));
    assert_eq!((tokens(&window), window.state().quality_state().report.as_ref()), (vec![12; 2], Some(&report)));
    assert!(is_enabled(&window, "Measure quality"));
    press(&mut window, "Reset");
    window.step();
    window.get_by_label("Press Measure quality");
}

#[test]
fn what_cannot_be_measured_says_why_not() {
    let model = "shape:distilgpt2,ctx=64".into();
    let mut window = window(&Options { model, ..quality("contiguous", SHORT) });
    window.step();
    assert!(!is_enabled(&window, "Measure quality"));
    window.get_by_label_contains("`kvlab quality --model shape:distilgpt2,ctx=64 --text FILE`");
    window.state_mut().form_mut().model = "story".into();
    window.step();
    assert!(is_enabled(&window, "Measure quality"));
    window.state_mut().form_mut().lanes = "none".into();
    window.step();
    window.get_by_label_contains("No lane stores anything");

    window.state_mut().form_mut().lanes = "paged:16".into();
    window.state_mut().form_mut().tokens = 800;
    window.step();
    press(&mut window, "Run");
    until(&mut window, "running", |app| app.run_state().progress() >= 1);
    assert!(!is_enabled(&window, "Measure quality"));
    window.get_by_label_contains("A run is under way");
    press(&mut window, "Cancel");
    until(&mut window, "cancelled", phase_is(Phase::Cancelled));
    assert!(is_enabled(&window, "Measure quality"));
}

#[test]
fn every_pane_opens_with_and_without_a_run() {
    let mut window = window(&options());
    for has_run in [false, true] {
        if has_run {
            press(&mut window, "Run");
            until(&mut window, "finished", phase_is(Phase::Finished));
        }
        for pane in Pane::ALL {
            // A preset of lanes is called Blocks as well; the panes are to its right.
            let tabs = window.query_all_by_role_and_label(Role::Button, pane.name());
            tabs.max_by(|a, b| a.rect().left().total_cmp(&b.rect().left())).expect("a pane").click();
            window.run_steps(2);
            let shows_quality = window.query_by_role_and_label(Role::Button, "Measure quality").is_some();
            assert_eq!(shows_quality, pane == Pane::Quality);
            assert_eq!(pane.name().to_lowercase().parse(), Ok(pane));
        }
        window.check_accessibility();
    }
}

#[test]
fn the_pane_is_drawn_in_both_themes_and_in_a_small_window() {
    let lanes = "none,contiguous,paged:16+q4_0,paged:16+window:4/60";
    for (theme, size) in
        [(Theme::Dark, [1280.0, 800.0]), (Theme::Light, [1280.0, 800.0]), (Theme::Light, [900.0, 600.0])]
    {
        let (mut window, raster) = visible_window(&quality(lanes, SHORT), theme, size);
        press(&mut window, "Measure quality");
        until(&mut window, "measured", is(Phase::Finished));
        let frame = frame(&mut window, &raster, &format!("quality-{theme:?}-{}", size[0]));
        let visuals = window.ctx.style_of(theme).visuals.clone();
        // Each lane has the colour that a run gives it.
        for lane in 1..4 {
            let color = lane_color(lane, &visuals);
            let pixels = frame.pixels.iter().filter(|pixel| **pixel == color).count();
            assert!(pixels > 100, "lane {lane} in {theme:?} at {size:?}: {pixels} pixels");
        }
    }
}

#[test]
fn a_measurement_is_drawn_without_a_display() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("quality.png");
    draw(&Options { autorun: true, ..quality("contiguous,paged:16+int8", SHORT) }, &path).expect("a picture");
    let [r, g, b, _] = kvlab::app::theme::lane_color(1, &egui::Visuals::dark()).to_array();
    assert!(image::open(&path).expect("a picture").to_rgb8().pixels().any(|pixel| pixel.0 == [r, g, b]));
    let error = draw(&Options { autorun: true, ..quality("none", SHORT) }, &path).expect_err("nothing to measure");
    assert!(error.to_string().contains("No lane stores anything"), "{error}");
}
