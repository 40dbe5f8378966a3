//! What the window shows of a recorded run, to the pixel: everything in it comes from the trace, and it is drawn on the processor.
//! `KVLAB_UPDATE_SNAPSHOTS=1 cargo test --test snapshots` writes the pictures anew, to be looked at before they are kept.
#![cfg(all(feature = "app", target_arch = "x86_64"))]

#[path = "support/window.rs"]
mod driver;

use std::path::{Path, PathBuf};

use driver::{frame, options, visible_window};
use egui::Theme;
use image::{ImageEncoder, codecs::png};
use kvlab::app::{Options, Pane, theme::Look, timeline::Timeline};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

fn check(name: &str, pane: Pane, look: Look, moment: Option<usize>) {
    let trace = Timeline::open(&folder().join("trace.jsonl")).expect("a trace");
    let options = Options { pane, look: Some(look), moment, trace: Some(trace), ..options() };
    let theme = if look == Look::Dark { Theme::Dark } else { Theme::Light };
    let (mut window, raster) = visible_window(&options, theme, [1120.0, 700.0]);
    let shown = frame(&mut window, &raster, &format!("snapshot-{name}"));
    let rgb: Vec<u8> = shown.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let size = |side: usize| u32::try_from(side).expect("a window's size");
    let (width, height) = (size(shown.width()), size(shown.height()));
    let path = folder().join(format!("{name}.png"));
    if std::env::var_os("KVLAB_UPDATE_SNAPSHOTS").is_some() {
        let file = std::fs::File::create(&path).expect("writable");
        let encoder = png::PngEncoder::new_with_quality(file, png::CompressionType::Best, png::FilterType::Adaptive);
        encoder.write_image(&rgb, width, height, image::ExtendedColorType::Rgb8).expect("written");
        return;
    }
    let kept = image::open(&path).expect("KVLAB_UPDATE_SNAPSHOTS=1 makes it").to_rgb8();
    assert_eq!(kept.dimensions(), (width, height), "{name}");
    let differing = kept.as_raw().chunks(3).zip(rgb.chunks(3)).filter(|(kept, shown)| kept != shown).count();
    assert_eq!(
        differing, 0,
        "{name}: pixels that differ; KVLAB_TEST_PICTURES=DIR keeps what is drawn now as snapshot-{name}.png"
    );
}

#[test]
fn cost_in_the_dark() {
    check("cost-dark", Pane::Cost, Look::Dark, None);
}

#[test]
fn attention_on_light_ground() {
    check("attention-light", Pane::Attention, Look::Light, None);
}

#[test]
fn blocks_in_the_middle_of_the_run_for_a_projector() {
    check("blocks-projector", Pane::Blocks, Look::Projector, Some(14));
}
