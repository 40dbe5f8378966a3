//! The latency and the memory pane by themselves, on real records: every view, the shared cursor, switches of lanes, the machine's
//! floor and marks.
#![cfg(feature = "app")]

use std::sync::{Arc, atomic::AtomicBool};

use egui::{ColorImage, Role, Theme, Vec2, vec2};
use egui_kittest::{
    Harness, TestRenderer,
    kittest::{NodeT, Queryable},
};
use kvlab::{
    app::{
        floor::MachineFloor,
        panels::{latency, memory},
        raster::Raster,
        shared::{Mark, Shared},
        state::RunState,
        theme,
    },
    cache::spec::parse_lanes,
    engine::Sampling,
    experiment::{DEFAULT_PROMPT, Experiment, Workload},
    measure::device::DeviceChoice,
    model::ModelSource,
};

const LANES: &str = "none,concat,contiguous,paged:16,paged:16+int8,paged:16+window:4/60";
const TOKENS: usize = 60;

/// What the window holds of the two panes.
#[derive(Default)]
struct Panes {
    run: RunState,
    latency: latency::View,
    memory: memory::View,
    shared: Shared,
}

fn story_run() -> RunState {
    let never = AtomicBool::new(false);
    let lanes = parse_lanes(LANES).expect("lanes");
    let (device, _) = DeviceChoice::Cpu.open().expect("a CPU");
    let source: ModelSource = "story".parse().expect("the embedded model");
    let model = Arc::new(source.load(&device, &mut |_| {}, &never).expect("loaded"));
    let workload = Workload {
        prompt_ids: model.tokenizer.as_ref().expect("a tokenizer").encode(DEFAULT_PROMPT).expect("tokens"),
        max_new_tokens: TOKENS,
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        rehearse: true,
        forced: false,
        compares: false,
    };
    let mut run = RunState::new(1, &lanes, TOKENS, DEFAULT_PROMPT.into());
    let mut experiment = Experiment::new(model, &lanes, workload).expect("an experiment");
    while let Some(event) = experiment.step(&never).expect("a step") {
        run.apply_to_lane(event);
    }
    run
}

/// A machine made up, so that its floor is in sight of the small model's steps.
fn shared() -> Shared {
    let machine = MachineFloor { read_bytes_per_sec: 20e9, flops_per_sec: 100e9 };
    Shared { machine: Some(machine), marks: vec![Mark { lane: 3, step: 30, text: "now paged:16+int8".into() }] }
}

struct Renderer(Raster);

impl TestRenderer for Renderer {
    fn handle_delta(&mut self, delta: &mut egui::TexturesDelta) {
        self.0.handle_delta(delta);
    }
}

fn panes(shared: Shared, theme: Theme, size: Vec2) -> (Harness<'static, Panes>, Raster) {
    let raster = Raster::default();
    let state = Panes { run: story_run(), shared, ..Panes::default() };
    let mut harness = Harness::builder()
        .with_size(size)
        .with_theme(theme)
        // As on a display: with the usual quarter of a second no two clicks were a double click.
        .with_step_dt(1.0 / 60.0)
        .renderer(Renderer(raster.clone()))
        .build_ui_state(
            |ui, panes: &mut Panes| {
                egui::CentralPanel::default().show(ui, |ui| {
                    ui.columns(2, |columns| {
                        latency::show(&mut columns[0], &mut panes.run, &mut panes.latency, &panes.shared);
                        memory::show(&mut columns[1], &mut panes.run, &mut panes.memory, &panes.shared);
                    });
                });
            },
            state,
        );
    theme::install(&harness.ctx);
    harness.run_steps(3);
    (harness, raster)
}

fn dark() -> Harness<'static, Panes> {
    panes(shared(), Theme::Dark, vec2(1280.0, 800.0)).0
}

fn choose(panes: &mut Harness<'_, Panes>, view: &str) {
    panes.get_by_role_and_label(Role::Button, view).click();
    panes.run_steps(3);
}

/// Kept under `name` in the folder `KVLAB_TEST_PICTURES`, if that is set.
fn frame(panes: &mut Harness<'_, Panes>, raster: &Raster, name: &str) -> ColorImage {
    panes.run_steps(3);
    let frame = raster.render(&panes.ctx, panes.output());
    if let Some(folder) = std::env::var_os("KVLAB_TEST_PICTURES") {
        let pixels: Vec<u8> = frame.pixels.iter().flat_map(egui::Color32::to_array).collect();
        let size = |pixels: usize| u32::try_from(pixels).expect("a window's size");
        let image = image::RgbaImage::from_raw(size(frame.width()), size(frame.height()), pixels);
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        image.expect("four bytes a pixel").save(path).expect("a folder that exists");
    }
    frame
}

/// The token that a readout speaks of.
fn token(panes: &Harness<'_, Panes>, readout: &str) -> usize {
    let label = panes.get_by_label_contains(readout).accesskit_node().value().expect("a text");
    let number = label.strip_prefix("token ").and_then(|rest| rest.split(',').next()).expect("token N, ..");
    number.parse().expect("a number")
}

/// Puts the pointer into a plot, at these shares of its width and height.
fn point(panes: &mut Harness<'_, Panes>, plot: &str, x: f32, y: f32) -> egui::Pos2 {
    let at = panes.get_by_label_contains(plot).rect().lerp_inside(vec2(x, y));
    panes.hover_at(at);
    panes.run_steps(3);
    at
}

#[test]
fn every_view_is_drawn_under_its_name_in_both_themes() {
    for theme in [Theme::Dark, Theme::Light] {
        let (mut panes, raster) = panes(shared(), theme, vec2(1280.0, 800.0));
        let mut before = None;
        // The view that is not chosen at the start, so that each choice changes something.
        choose(&mut panes, "roofline");
        choose(&mut panes, "waste");
        let views = [
            ("each token", "latency plot, linear scale, decode points of each lane: 59, 59, 59, 59, 59, 59"),
            ("cumulative", "cumulative latency plot, linear scale, decode points of each lane: 59, 59"),
            ("tokens/s", "tokens per second plot, linear scale, decode points of each lane: 59, 59"),
            ("distribution", "latency distribution, linear scale, p5 p25 median p75 p95, decode steps: none 59"),
            ("prefill", "prefill plot, TTFT of each lane: none "),
            ("roofline", "roofline plot, with roofs, steps: none 60, concat 60"),
            ("series", "memory plot: reserved, used, dead, formula"),
            ("waste", "waste plot of all lanes, none: numbers 0 B"),
            ("per user", "memory of 100 users plot: reserved, used, dead, formula"),
        ];
        for (view, name) in views {
            choose(&mut panes, view);
            panes.get_by_label_contains(name);
            panes.remove_cursor();
            let frame = frame(&mut panes, &raster, &format!("{theme:?}-{}", view.replace('/', " per ")));
            assert!(before.as_ref() != Some(&frame), "{view} looks like the view before it");
            before = Some(frame);
        }
        choose(&mut panes, "waste");
        panes.get_by_role_and_label(Role::RadioButton, "waste of paged:16+window:4/60").click();
        panes.run_steps(2);
        panes.get_by_label_contains("waste plot of paged:16+window:4/60, newest token: numbers 480 KiB");
        frame(&mut panes, &raster, &format!("{theme:?}-waste of one"));
    }
}

#[test]
fn a_small_pane_keeps_room_for_its_plots() {
    let (mut panes, raster) = panes(shared(), Theme::Dark, vec2(940.0, 330.0));
    panes.remove_cursor();
    frame(&mut panes, &raster, "small");
    for plot in ["latency plot", "memory plot", "copied plot"] {
        let height = panes.get_by_label_contains(plot).rect().height();
        assert!(height > 40.0, "{plot}: {height}");
    }
}

#[test]
fn the_readouts_follow_the_pointer_in_whichever_plot_it_is() {
    let mut panes = dark();
    let readouts = ["ITL", "used of reserved"];
    assert_eq!(readouts.map(|readout| token(&panes, readout)), [59, 59], "the newest");
    for plot in ["latency plot", "memory plot", "copied plot"] {
        point(&mut panes, plot, 0.5, 0.3);
        let tokens = readouts.map(|readout| token(&panes, readout));
        assert!(tokens[0] == tokens[1] && (25..35).contains(&tokens[0]), "{plot}: {tokens:?}");
    }
    panes.hover_at(egui::pos2(3.0, 3.0));
    panes.run_steps(3);
    assert_eq!(readouts.map(|readout| token(&panes, readout)), [59, 59]);
}

#[test]
fn all_plots_zoom_together_until_a_double_click_or_a_new_run() {
    let mut panes = dark();
    let left = |panes: &mut Harness<'_, Panes>, plot: &str| {
        point(panes, plot, 0.1, 0.5);
        token(panes, "ITL")
    };
    let all = left(&mut panes, "copied plot");
    let zoom = |panes: &mut Harness<'_, Panes>| {
        point(panes, "latency plot", 0.9, 0.5);
        panes.event(egui::Event::Zoom(4.0));
        panes.run_steps(3);
    };
    zoom(&mut panes);
    let zoomed = left(&mut panes, "copied plot");
    assert!(zoomed > all + 20, "{all} became {zoomed}");

    let at = point(&mut panes, "memory plot", 0.5, 0.5);
    for _ in 0..2 {
        panes.drag_at(at);
        panes.drop_at(at);
    }
    panes.run_steps(4);
    assert_eq!(left(&mut panes, "copied plot"), all, "a double click fits again");

    zoom(&mut panes);
    panes.state_mut().run.id = 2;
    panes.run_steps(3);
    assert_eq!(left(&mut panes, "copied plot"), all, "a new run shows all tokens");
}

#[test]
fn a_click_on_a_name_hides_the_lane_in_both_panes() {
    let mut panes = dark();
    panes.get_by_role_and_label(Role::CheckBox, "none in latency").click();
    panes.run_steps(2);
    assert!(panes.state().run.lanes[0].is_hidden);
    for readout in ["ITL", "used of reserved"] {
        let label = panes.get_by_label_contains(readout).accesskit_node().value().expect("a text");
        assert!(!label.contains("none"), "{label}");
    }
    panes.get_by_role_and_label(Role::CheckBox, "none in memory").click();
    panes.run_steps(2);
    assert!(!panes.state().run.lanes[0].is_hidden);
}

#[test]
fn a_machine_that_was_not_measured_has_no_floor() {
    let (mut panes, _) = panes(Shared::default(), Theme::Dark, vec2(1280.0, 800.0));
    panes.get_by_label("no floor");
    choose(&mut panes, "roofline");
    panes.get_by_label_contains("roofline plot, without roofs");
    panes.state_mut().shared = shared();
    panes.run_steps(2);
    panes.get_by_label_contains("roofline plot, with roofs");
    choose(&mut panes, "each token");
    panes.get_by_role_and_label(Role::CheckBox, "floor");
}
