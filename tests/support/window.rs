//! The window in a test: pressed, written in and looked at by the names of its buttons and fields.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use std::time::{Duration, Instant};

use egui::{ColorImage, Key, Role, Theme};
use egui_kittest::{
    Harness, TestRenderer,
    kittest::{NodeT, Queryable},
};
use kvlab::{
    app::{App, Options, raster::Raster, state::Phase},
    measure::device::DeviceChoice,
};

/// Far more than any of these needs; only a hang reaches it.
const WATCHDOG: Duration = Duration::from_mins(2);

pub fn options() -> Options {
    Options { tokens: 12, device: DeviceChoice::Cpu, ..Options::default() }
}

pub fn window(options: &Options) -> Harness<'static, App> {
    let options = options.clone();
    Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(move |cc| App::new(&cc.egui_ctx, &options).expect("a thread for the engine"))
}

/// The rasteriser, as the harness wants it.
struct Renderer(Raster);

impl TestRenderer for Renderer {
    fn handle_delta(&mut self, delta: &mut egui::TexturesDelta) {
        self.0.handle_delta(delta);
    }
}

/// A window whose frames can be looked at, see [`frame`].
pub fn visible_window(options: &Options, theme: Theme, size: [f32; 2]) -> (Harness<'static, App>, Raster) {
    let (options, raster) = (options.clone(), Raster::default());
    let window = Harness::builder()
        .with_size(size)
        .with_theme(theme)
        .renderer(Renderer(raster.clone()))
        .build_eframe(move |cc| App::new(&cc.egui_ctx, &options).expect("a thread for the engine"));
    (window, raster)
}

/// What the window shows with no pointer in it; kept under `name` in the folder `KVLAB_TEST_PICTURES`, if that is set.
pub fn frame(window: &mut Harness<'_, App>, raster: &Raster, name: &str) -> ColorImage {
    window.remove_cursor();
    window.run_steps(4);
    let frame = raster.render(&window.ctx, window.output());
    if let Some(folder) = std::env::var_os("KVLAB_TEST_PICTURES") {
        let pixels: Vec<u8> = frame.pixels.iter().flat_map(egui::Color32::to_array).collect();
        let size = |pixels: usize| u32::try_from(pixels).expect("a window's size");
        let image = image::RgbaImage::from_raw(size(frame.width()), size(frame.height()), pixels);
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        image.expect("four bytes a pixel").save(path).expect("a folder that exists");
    }
    frame
}

/// Draws frames until the window is as expected, as a display would.
pub fn until(window: &mut Harness<'_, App>, what: &str, is_so: impl Fn(&App) -> bool) {
    let started = Instant::now();
    loop {
        window.step();
        if is_so(window.state()) {
            window.step();
            return;
        }
        assert!(started.elapsed() < WATCHDOG, "never {what}: {:?}", window.state().run_state());
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn press(window: &mut Harness<'_, App>, button: &str) {
    window.get_by_role_and_label(Role::Button, button).click();
    window.step();
}

pub fn is_enabled(window: &Harness<'_, App>, button: &str) -> bool {
    !window.get_by_role_and_label(Role::Button, button).accesskit_node().is_disabled()
}

pub fn write(window: &mut Harness<'_, App>, field: &str, role: Role, text: &str) {
    let node = window.get_by_role_and_label(role, field);
    node.focus();
    window.step();
    window.key_combination_modifiers(egui::Modifiers::COMMAND, &[Key::A]);
    window.event(egui::Event::Text(text.into()));
    window.step();
    leave_field(window);
}

pub fn leave_field(window: &mut Harness<'_, App>) {
    window.ctx.memory_mut(|memory| memory.focused().into_iter().for_each(|id| memory.surrender_focus(id)));
    window.step();
}

pub fn tokens(window: &Harness<'_, App>) -> Vec<usize> {
    window.state().run_state().lanes.iter().map(|lane| lane.records.len()).collect()
}

pub fn phase_is(phase: Phase) -> impl Fn(&App) -> bool {
    move |app| app.run_state().phase == phase
}
