//! The window drawn without a display: the same frames, on the processor.

use std::time::Duration;

use egui::{ColorImage, Context, Pos2, RawInput, Rect, vec2};

use super::{Options, raster::Raster, window::App};

const SIZE: egui::Vec2 = vec2(1280.0, 800.0);
/// Frames after the last event, so that every size has settled.
const SETTLING_FRAMES: usize = 4;
/// A minute: a large model may take that long to be looked into.
const MOST_WAITS: usize = 3_000;
/// How long a run may say nothing before it is looked at again.
const WAIT: Duration = Duration::from_millis(20);

/// Runs what the options ask for and draws its last frame. The second value says why the run did not do all that was asked.
///
/// # Errors
/// When the engine's thread cannot be started.
pub fn draw(options: &Options) -> Result<(ColorImage, Option<String>), String> {
    let (ctx, raster) = (Context::default(), Raster::default());
    let mut app = App::new(&ctx, options).map_err(|error| error.to_string())?;
    let frame = |app: &mut App| {
        let input = RawInput { screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)), ..RawInput::default() };
        let mut output = ctx.run_ui(input, |ui| {
            app.update(ui.ctx());
            app.show(ui);
        });
        raster.handle_delta(&mut output.textures_delta);
        output
    };
    // Nobody sees the frames before the last; drawing them would only take time from the engine.
    while !app.has_settled() {
        app.update(&ctx);
        std::thread::sleep(WAIT);
    }
    let mut output = frame(&mut app);
    // A pane may ask the engine for more once it is drawn.
    for _ in 0..MOST_WAITS {
        if !app.waits() {
            break;
        }
        std::thread::sleep(WAIT);
        output = frame(&mut app);
    }
    for _ in 0..SETTLING_FRAMES {
        output = frame(&mut app);
    }
    Ok((raster.render(&ctx, &output), app.failure()))
}
