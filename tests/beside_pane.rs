//! Lanes beside the first one, in the window: token by token while they run, their texts, the table, and how far back they
//! recall; on the real engine.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use driver::{frame, is_enabled, options, phase_is, press, until, visible_window, window};
use egui::{Event, Modifiers, OutputCommand, PointerButton, Pos2, Role, Theme};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use kvlab::{
    app::{
        App, Options, Pane,
        quality::QualityForm,
        state::Phase,
        theme::{ERROR, lane_color},
    },
    experiment::quality::QualitySettings,
    report::quality::{agreement, nats},
};

/// The first lane, one that is the same to the last bit, and one that is not.
const LANES: &str = "contiguous,paged:16,paged:16+q4_0";

fn forced(tokens: usize) -> Options {
    Options { lanes: LANES.into(), forced: true, tokens, ..options() }
}

fn finished(options: &Options) -> Harness<'static, App> {
    let mut window = window(options);
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window
}

#[test]
fn every_token_of_a_run_is_compared_as_it_comes() {
    let mut window = finished(&Options { pane: Pane::Quality, ..forced(60) });
    press(&mut window, "This run, live");
    window.run_steps(2);
    let lanes = window.state().run_state().lanes.clone();
    assert!(lanes[1..].iter().all(|lane| lane.compared.len() == 60), "every token is compared");
    window.get_by_label("KL of each token beside contiguous: 120 tokens of 2 lanes");
    window.get_by_label_contains("Every lane reads the tokens of A contiguous");
    for lane in &lanes[1..] {
        let agreed = lane.compared.iter().filter(|token| token.agrees).count();
        window.get_by_label(&format!("agreement of {}: {agreed} of 60 tokens", lane.name));
        let mean = lane.compared.iter().map(|token| token.kl_nats).sum::<f64>() / 60.0;
        for text in [nats(mean), agreement(f64::from(u8::try_from(agreed).expect("few")) / 60.0)] {
            assert!(window.query_all_by_label(&text).count() >= 1, "`{text}` of {} is not in the table", lane.name);
        }
    }
    assert!(lanes[1].compared.iter().all(|token| token.kl_nats == 0.0), "paged stores the same");
    assert!(lanes[2].compared.iter().any(|token| token.kl_nats > 0.0), "q4_0 does not");
    window.check_accessibility();
}

#[test]
fn a_run_without_a_comparison_says_why() {
    let mut window = window(&Options { pane: Pane::Quality, lanes: "contiguous".into(), ..options() });
    press(&mut window, "This run, live");
    window.step();
    window.get_by_label_contains("Run two lanes or more");
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    window.get_by_label_contains("There is one lane");
    assert!(window.query_by_label("Measure quality").is_none());
    press(&mut window, "Held-out stories");
    window.step();
    assert!(is_enabled(&window, "Measure quality") && is_enabled(&window, "Recall test"));
}

#[test]
fn a_recall_test_reads_all_stories_and_says_in_words_what_is_recalled() {
    let quality = QualityForm {
        stories: 2,
        tokens: 300,
        settings: QualitySettings { prompt_tokens: 16, greedy_tokens: 8, batch: 8 },
    };
    let lanes = "contiguous,contiguous+window:4/28".into();
    let options = Options { pane: Pane::Quality, lanes, quality, ..options() };
    let (mut window, raster) = visible_window(&options, Theme::Dark, [1280.0, 800.0]);
    press(&mut window, "Recall test");
    until(&mut window, "asked for facts", |app| {
        let report = app.quality_state().report.as_ref();
        report.is_some_and(|report| report.lanes.iter().all(|lane| lane.recall.values().flatten().count() > 0))
    });
    window.get_by_label_contains("s left");
    press(&mut window, "Cancel");
    until(&mut window, "cancelled", |app| app.quality_state().phase == Phase::Cancelled);
    let state = window.state().quality_state();
    let settings = state.settings.as_ref().expect("settings").quality;
    assert_eq!((settings.stories, settings.settings.greedy_tokens), (32, 0));
    assert_eq!(window.state_mut().quality_form_mut().stories, 2, "what the field says stays");
    window.step();
    window.get_by_label_contains("is right about ");
    assert!(window.query_all_by_label_contains("the exact lane ").count() >= 1, "a sentence for the window");
    window.get_by_label_contains("recall by distance: ");
    assert!(window.query_by_label_contains("quality against bytes").is_none(), "recall alone");
    let picture = frame(&mut window, &raster, "beside-recall");
    let color = lane_color(1, &window.ctx.style_of(Theme::Dark).visuals);
    assert!(picture.pixels.iter().filter(|pixel| **pixel == color).count() > 100, "the window's line");
    press(&mut window, "All measures");
    window.step();
    window.get_by_label_contains("quality against bytes");
    window.check_accessibility();
}

fn click(window: &mut Harness<'_, App>, pos: Pos2) {
    window.event(Event::PointerMoved(pos));
    for pressed in [true, false] {
        let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
        window.event(Event::PointerButton { pos, button, pressed, modifiers });
        window.step();
    }
}

#[test]
fn a_click_on_a_tick_goes_to_its_token() {
    let mut window = finished(&forced(400));
    let lane = window.state().run_state().lanes[2].clone();
    let first = *lane.differing.first().expect("4 bits change some of 400 tokens");
    let label = format!("where {} differs: {} of 400 tokens", lane.name, lane.differing.len());
    let strip = window.get_by_label(&label).rect();
    let end: String = lane.text.chars().skip(lane.text.chars().count() - 40).collect();
    let top = |window: &Harness<'_, App>| {
        // The same words may end the texts of other lanes; this one's column is the last.
        let texts = window.query_all_by_label_contains(&end).filter(|node| node.accesskit_node().role() == Role::Label);
        texts.map(|node| node.rect()).max_by(|a, b| a.left().total_cmp(&b.left())).expect("the text").top()
    };
    window.run_steps(3);
    let bottom = top(&window);
    #[expect(clippy::cast_precision_loss, reason = "a token")]
    let x = strip.left() + (first as f32 + 0.5) * strip.width() / 400.0;
    let tick = Pos2::new(x, strip.bottom() - 3.0);
    window.event(Event::PointerMoved(tick));
    window.run_steps(8);
    let said = window.query_all_by_label_contains(&format!("token {first}\nA contiguous: ")).count();
    assert!(said >= 1, "what each lane said there");
    click(&mut window, tick);
    window.run_steps(60);
    assert!(top(&window) > bottom + 20.0, "it was at its end, and went up to token {first}");
}

#[test]
fn the_table_is_copied_for_a_spreadsheet() {
    let mut window = finished(&forced(12));
    window.get_by_role_and_label(Role::Button, "Copy CSV").click();
    window.step();
    let copied = window.output().platform_output.commands.iter().find_map(|command| match command {
        OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    });
    let copied = copied.expect("a copied text");
    let lines: Vec<&str> = copied.lines().collect();
    assert!(lines[0].starts_with("lane,tokens,TTFT (ms),") && lines[0].contains(",KL (nats),agree (%),"), "{copied}");
    assert!(lines.len() == 4 && lines[3].starts_with("paged:16+q4_0,12,"), "{copied}");
}

#[test]
fn everything_beside_the_first_lane_is_drawn_in_both_themes() {
    let lanes = "contiguous,paged:16,paged:16+int8,paged:16+q4_0,paged:32+kivi:2,paged:16+window:4/60";
    for (theme, size) in [(Theme::Dark, [1280.0, 800.0]), (Theme::Light, [1280.0, 800.0])] {
        let options = Options { lanes: lanes.into(), ..forced(240) };
        let (mut window, raster) = visible_window(&options, theme, size);
        press(&mut window, "Run");
        until(&mut window, "finished", phase_is(Phase::Finished));
        let name = |what: &str| format!("beside-{what}-{theme:?}-{}", size[0]);
        let error = ERROR.on(&window.ctx.style_of(theme).visuals);
        let red = |frame: &egui::ColorImage| frame.pixels.iter().filter(|pixel| **pixel == error).count();
        let texts = frame(&mut window, &raster, &name("cost"));
        assert!(red(&texts) > 20, "ticks above the texts in {theme:?}");
        let tabs = window.query_all_by_role_and_label(Role::Button, "Quality");
        tabs.max_by(|a, b| a.rect().left().total_cmp(&b.rect().left())).expect("a pane").click();
        window.step();
        press(&mut window, "This run, live");
        let live = frame(&mut window, &raster, &name("live"));
        assert!(red(&live) > 100, "cells of tokens that differ in {theme:?}");
    }
}
