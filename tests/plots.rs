//! The latency and the memory pane by themselves, on real records: every view, the shared cursor, switches of lanes, the machine's
//! floor and marks.
#![cfg(feature = "app")]

use std::sync::{Arc, atomic::AtomicBool};

use egui::{ColorImage, Role, Theme, Vec2, vec2};
use egui_kittest::{Harness, TestRenderer, kittest::Queryable};
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
    is_measure_pressed: bool,
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
    };
    let mut run = RunState::new(1, &lanes, TOKENS, DEFAULT_PROMPT.into());
    let mut experiment = Experiment::new(model, &lanes, workload).expect("an experiment");
    while let Some(event) = experiment.step(&never).expect("a step") {
        run.apply_to_lane(event);
    }
    run
}

/// A machine slow enough that its floor is in sight of the small model's steps.
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
    let mut harness =
        Harness::builder().with_size(size).with_theme(theme).renderer(Renderer(raster.clone())).build_ui_state(
            |ui, panes: &mut Panes| {
                egui::CentralPanel::default().show(ui, |ui| {
                    ui.columns(2, |columns| {
                        let pressed = latency::show(&mut columns[0], &mut panes.run, &mut panes.latency, &panes.shared);
                        panes.is_measure_pressed |= pressed;
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

#[test]
fn look() {
    for theme in [Theme::Dark, Theme::Light] {
        for (size, s) in [(vec2(1280.0, 800.0), "big"), (vec2(940.0, 330.0), "small")] {
            let (mut panes, raster) = panes(shared(), theme, size);
            let all = [
                ("each token", "series"),
                ("cumulative", "waste by cause"),
                ("tokens/s", "per user"),
                ("distribution", "series"),
                ("prefill", "waste by cause"),
                ("roofline", "waste by cause"),
            ];
            for (i, (l, m)) in all.into_iter().enumerate() {
                choose(&mut panes, l);
                choose(&mut panes, m);
                if i == 4 {
                    panes.state_mut().memory.waste_lane = Some(4);
                }
                if i == 5 {
                    panes.state_mut().memory.waste_lane = Some(5);
                    panes.state_mut().latency.is_log = true;
                }
                panes.remove_cursor();
                frame(&mut panes, &raster, &format!("{theme:?}-{s}-{i}"));
            }
            choose(&mut panes, "each token");
            choose(&mut panes, "series");
            let rect = panes.get_by_label_contains("latency plot").rect();
            panes.hover_at(rect.lerp_inside(vec2(0.507, 0.5)));
            frame(&mut panes, &raster, &format!("{theme:?}-{s}-hover"));
        }
    }
}
