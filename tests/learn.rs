//! The guided tours: every step carried out on the real window and the story model, and the panel driven by its names.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use candle_core::Device;
use driver::{options, phase_is, press, until, window};
use egui::{Rect, Role, Ui, pos2, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use kvlab::{
    app::{
        App,
        learn::{Answer, Learn, LearnAction, Seen, Setup, TOURS},
        panels,
        quality::{QualityReport, QualityState},
        spots,
        state::{Phase, RunState},
        theme,
    },
    cache::spec::parse_lanes,
    experiment::{
        DEFAULT_PROMPT,
        quality::{QualityRun, QualitySettings},
    },
    model::{ModelSource, Passage},
};

/// Of lanes without a cache: fewer than tours ask for, and enough for all that they say.
const TOKENS: usize = 44;

/// A window that carries out what tours ask for, and a measurement of quality beside it.
struct Lab {
    window: Harness<'static, App>,
    quality: QualityState,
}

impl Lab {
    fn new() -> Self {
        Self { window: window(&options()), quality: QualityState::default() }
    }

    fn seen(&self) -> Seen<'_> {
        Seen { run: self.window.state().run_state(), quality: &self.quality }
    }

    fn carry_out(&mut self, action: LearnAction) {
        let window = &mut self.window;
        match action {
            LearnAction::Show(pane) => press(window, pane),
            LearnAction::Run(Setup { lanes, tokens, prompt, forced }) => {
                let form = window.state_mut().form_mut();
                let is_slow = lanes.contains("none");
                (form.lanes, form.tokens) = (lanes.into(), if is_slow { TOKENS } else { tokens });
                form.prompt = prompt.unwrap_or(DEFAULT_PROMPT).into();
                form.forced = forced;
                window.step();
                press(window, "Run");
                until(window, "finished", phase_is(Phase::Finished));
            }
            LearnAction::Step => {
                let at = if window.state().run_state().phase == Phase::Paused {
                    window.state().run_state().progress()
                } else {
                    0
                };
                press(window, "Step one token");
                until(window, "a token further", move |app| {
                    app.run_state().phase == Phase::Paused && app.run_state().progress() == at + 1
                });
            }
            LearnAction::Fork => {
                press(window, "Blocks");
                press(window, "Fork here");
                until(window, "forked", |app| app.run_state().lanes.iter().any(|lane| !lane.forks.is_empty()));
            }
            LearnAction::MeasureQuality(lanes) => self.quality = measured(lanes),
        }
    }
}

/// The beginning of one story, measured.
fn measured(lanes: &str) -> QualityState {
    let model = ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &false.into()).expect("the embedded model");
    let mut passages = Passage::held_out_stories().expect("the embedded stories");
    passages.truncate(1);
    for passage in &mut passages {
        passage.truncate(160);
    }
    let settings = QualitySettings { greedy_tokens: 0, batch: 1, ..QualitySettings::default() };
    let lanes = parse_lanes(lanes).expect("lanes");
    let mut run = QualityRun::new(model.into(), &lanes, passages, settings).expect("it can be measured");
    while run.step(&false.into()).expect("no step fails").is_some() {}
    let report = QualityReport { lanes: run.summaries(), ..QualityReport::default() };
    let mut state = QualityState::default();
    (state.phase, state.report) = (Phase::Finished, Some(report));
    state
}

/// Predicts in every step of a tour and carries it out: its goal is met then, it has something to say, and the prediction is
/// judged, not before. `at` is called after each.
fn go_through(tour: usize, mut at: impl FnMut(usize, &Seen<'_>)) {
    let (mut lab, mut learn) = (Lab::new(), Learn::default());
    learn.enter(tour);
    let mut n_done = 0;
    while let (Some((_, tour)), Some((number, step))) = (learn.tour(), learn.step()) {
        if let Some(question) = step.question {
            assert!(!learn.can_go_on(), "{}: it asks first", step.title);
            learn.give(Answer::Chosen(question.right));
            learn.judge(&lab.seen());
            assert_eq!(learn.is_judged(), step.is_done(&lab.seen()), "{}: {}", tour.title, step.title);
        }
        if let Some(offer) = step.offer {
            lab.carry_out(offer.action);
        }
        let name = format!("{}: {}", tour.title, step.title);
        assert!(step.goal.is_none_or(|goal| (goal.is_met)(&lab.seen())), "{name}: not met");
        if let Some(reveal) = step.reveal {
            let said = reveal(&lab.seen());
            let text = said.unwrap_or_else(|missing| panic!("{name}: {missing}"));
            assert!(
                text.ends_with('.') && text.len() < 420 && text.chars().any(|c| c.is_ascii_digit()),
                "{name}: {text}"
            );
        }
        learn.judge(&lab.seen());
        assert!(step.question.is_none() || learn.is_judged(), "{name}: no verdict");
        at(number, &lab.seen());
        n_done += 1;
        learn.next();
    }
    assert!(learn.has_finished(tour) && n_done == TOURS[tour].steps.len(), "it ended after {n_done} steps");
}

#[test]
fn the_tour_on_decode_can_be_gone_through_and_counts_tokens_as_the_plot_does() {
    go_through(0, |number, seen| {
        let said = |step: usize| TOURS[0].steps[step].reveal.map(|reveal| reveal(seen).expect("it is done"));
        if number == 1 {
            let said = said(1).expect("a reveal");
            assert!(said.starts_with(&format!("Token 19 and token {}.", TOKENS - 1)), "{said}");
        }
        if number == 4 {
            let flops = |lane: usize| seen.run.lanes[lane].records.last().expect("records").flops;
            assert!(flops(0) > 50 * flops(1), "the answer to the question on work");
            let first = |lane: usize| seen.run.lanes[lane].records[0].flops;
            assert_eq!(first(0), first(1), "prefill is the same work");
        }
    });
}

#[test]
fn the_tour_on_memory_can_be_gone_through() {
    go_through(1, |_, seen| {
        let record = seen.run.lanes[0].records.last().expect("records");
        assert_eq!(record.used_bytes / record.cached_tokens, 7680, "the answer to the first question");
        let concat = seen.run.lanes[1].records.last().expect("records");
        assert!(concat.copied_bytes > 100 * concat.used_bytes, "the answer to the question on copies");
        let held = |lane: usize| seen.run.lanes[lane].records.last().expect("records").held_bytes;
        assert!(held(0) > 3 * held(2), "the answer to the question on users");
    });
}

#[test]
fn the_tour_on_paging_can_be_gone_through_and_its_fork_copies_the_filled_rows_of_one_block() {
    let mut copied = vec![];
    go_through(2, |number, seen| {
        let unused = |lane: usize| {
            let record = seen.run.lanes[lane].records.last().expect("records");
            record.held_bytes - record.used_bytes
        };
        assert!(number > 3 || unused(2) > 4 * unused(1), "long blocks waste more");
        let lane = seen.run.lanes.iter().find(|lane| lane.name == "paged:16").expect("a lane");
        copied.push(lane.records.last().expect("records").copied_bytes);
    });
    assert_eq!(copied[..6], [0; 6], "a fork copies nothing by itself");
    assert!(copied[6] > 0 && copied[6] < 16 * 7680, "a part of a block");
}

#[test]
fn the_tour_on_8_bits_can_be_gone_through_and_4_bits_part_first() {
    go_through(3, |number, seen| {
        if number == 4 {
            let tokens = |lane: usize| seen.run.lanes[lane].records.iter().map(|record| record.token_id);
            let n_same = tokens(0).zip(tokens(2)).filter(|(exact, own)| exact == own).count();
            assert!(n_same > 60, "{n_same} of 100: the answer to the question on forced words");
        }
        if number == 5 {
            let report = seen.quality.report.as_ref().expect("a report");
            let kl = |lane: usize| report.lanes[lane].kl.expect("measured");
            assert!(kl(2) > 100.0 * kl(1), "the answer to the question on KL: {} and {}", kl(1), kl(2));
        }
        if number == 3 {
            let parted: Vec<Option<usize>> = seen.run.lanes.iter().map(|lane| lane.first_divergence).collect();
            assert!(
                parted[3]
                    .is_some_and(|at| parted[1].is_none_or(|f16| at < f16) && parted[2].is_none_or(|int8| at < int8))
            );
        }
    });
}

#[test]
fn the_tour_on_windows_can_be_gone_through_and_the_key_is_forgotten() {
    go_through(4, |number, seen| {
        if number != 4 {
            return;
        }
        let [exact, window, heavy] = &seen.run.lanes[..] else { panic!("three lanes") };
        assert!(exact.text.starts_with(" her red key"), "{}", exact.text);
        for lane in [window, heavy] {
            assert!(lane.text.starts_with(" her") && !lane.text.contains("red key"), "{}: {}", lane.name, lane.text);
            assert_eq!(lane.first_divergence, Some(1), "prefill saw everything");
        }
        let dead = |lane: &kvlab::app::state::LaneState| lane.records.last().map(|record| record.dead_bytes);
        assert!(dead(heavy) > dead(window), "the answer to the question of this step");
        let gaps = |lane: &kvlab::app::state::LaneState| {
            lane.blocks.as_ref().map(|picture| picture.sequences[0].evicted.len()).expect("blocks")
        };
        assert!(gaps(window) == 1 && gaps(heavy) > 1, "the answer to the question before");
        let used = |lane: &kvlab::app::state::LaneState| {
            let records = &lane.records;
            (records[0].used_bytes, records[records.len() - 1].used_bytes)
        };
        let (first, last) = used(window);
        assert_eq!(first, last, "the answer to the question after");
    });
}

/// A window that only writes down what was asked for.
#[derive(Default)]
struct Stub {
    learn: Learn,
    run: RunState,
    quality: QualityState,
    asked: Vec<LearnAction>,
    marks_latency: bool,
}

fn panel() -> Harness<'static, Stub> {
    let draw = |ui: &mut Ui, stub: &mut Stub| {
        if stub.marks_latency {
            spots::mark(ui.ctx(), spots::LATENCY, Rect::from_min_size(pos2(10.0, 10.0), vec2(200.0, 100.0)));
        }
        let seen = Seen { run: &stub.run, quality: &stub.quality };
        stub.asked.extend(panels::learn::show(ui, &mut stub.learn, &seen));
    };
    let panel = Harness::builder().with_size([360.0, 780.0]).build_ui_state(draw, Stub::default());
    theme::install(&panel.ctx);
    panel
}

fn click(panel: &mut Harness<'_, Stub>, button: &str) {
    panel.get_by_role_and_label(Role::Button, button).click();
    panel.run_steps(2);
}

fn can_press(panel: &Harness<'_, Stub>, button: &str) -> bool {
    !panel.get_by_role_and_label(Role::Button, button).accesskit_node().is_disabled()
}

#[test]
fn a_learner_predicts_before_a_button_is_offered() {
    let mut panel = panel();
    panel.run_steps(2);
    for tour in TOURS {
        panel.get_by_role_and_label(Role::Button, tour.title);
    }
    panel.check_accessibility();
    click(&mut panel, TOURS[0].title);
    panel.get_by_label("Two lanes, one model");
    assert!(!can_press(&panel, "Previous") && can_press(&panel, "Next"));
    click(&mut panel, "Next");
    assert!(!can_press(&panel, "Next"), "the question comes first");
    assert!(panel.query_by_label("Run both lanes").is_none());
    click(&mut panel, "It stays the same");
    panel.get_by_label_contains("Noted. Now see");
    panel.get_by_label_contains("appear here");
    assert!(can_press(&panel, "Next"));
    click(&mut panel, "It shrinks");
    assert!(panel.query_by_label_contains("Not this one").is_none(), "nothing was run yet");
    click(&mut panel, "Run both lanes");
    let setup = Setup { lanes: "none,contiguous", tokens: 200, prompt: None, forced: false };
    assert_eq!(panel.state().asked, [LearnAction::Run(setup)]);
    panel.check_accessibility();
    let mut lab = Lab::new();
    lab.carry_out(LearnAction::Run(setup));
    panel.state_mut().run = lab.window.state().run_state().clone();
    panel.run_steps(2);
    panel.get_by_label("Not this one: It grows with the length of the text.");
    panel.get_by_label_contains("Token 19 and token");
    assert!(panel.query_by_label_contains("Noted.").is_none() && !can_press(&panel, "It stays the same"));
    panel.state_mut().run = RunState::default();
    panel.run_steps(2);
    panel.get_by_label_contains("Not this one");
    panel.check_accessibility();
}

#[test]
fn a_place_out_of_sight_is_opened_and_one_in_sight_is_pointed_at() {
    let mut panel = panel();
    panel.run_steps(2);
    click(&mut panel, TOURS[0].title);
    click(&mut panel, "Next");
    panel.get_by_label("Look at: latency plot");
    click(&mut panel, "Open Cost");
    assert_eq!(panel.state().asked, [LearnAction::Show("Cost")]);
    panel.state_mut().marks_latency = true;
    panel.run_steps(3);
    assert!(panel.query_by_label("Open Cost").is_none());
}

#[test]
fn a_tour_can_be_skipped_through_left_and_finished() {
    let mut panel = panel();
    panel.run_steps(2);
    click(&mut panel, TOURS[4].title);
    for number in 1..=TOURS[4].steps.len() {
        panel.get_by_label(&format!("step {number} of {}", TOURS[4].steps.len()));
        if number == 3 {
            click(&mut panel, "Previous");
            click(&mut panel, "All tours");
            panel.get_by_label_contains("you are at step 2");
            click(&mut panel, TOURS[4].title);
            click(&mut panel, "Next");
        }
        if panel.query_by_label("Skip the question").is_some() {
            click(&mut panel, "Skip the question");
            panel.get_by_label_contains("The answer: ");
        }
        click(&mut panel, if number == TOURS[4].steps.len() { "Finish" } else { "Next" });
    }
    panel.get_by_label_contains("finished");
    assert_eq!(panel.state().asked, []);
}
