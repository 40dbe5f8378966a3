//! A picture of the window, taken by the window.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use egui::{ColorImage, Context, ViewportCommand};
use plotters::prelude::{BitMapBackend, DrawingBackend};

/// Frames between the end of a run and its picture, so that every size has settled.
const SETTLING_FRAMES: usize = 4;

/// How the picture and its run went; the window is gone when it is read.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<Mutex<Option<Taken>>>);

/// A picture that was taken, or why not, and why the run in it did not do what was asked.
#[derive(Clone, Debug)]
pub struct Taken {
    pub written: Result<(), String>,
    pub run_failure: Option<String>,
}

impl Outcome {
    /// The outcome, if there is one yet.
    pub fn take(&self) -> Option<Taken> {
        self.0.lock().ok().and_then(|mut outcome| outcome.take())
    }

    fn set(&self, taken: Taken) {
        if let Ok(mut outcome) = self.0.lock() {
            *outcome = Some(taken);
        }
    }
}

/// A picture that is still to be taken.
#[derive(Debug)]
pub struct Screenshot {
    path: PathBuf,
    frames: usize,
    pub outcome: Outcome,
}

impl Screenshot {
    pub fn new(path: PathBuf) -> Self {
        Self { path, frames: 0, outcome: Outcome::default() }
    }

    /// Called in every frame after the run; takes the picture after a few and closes the window.
    pub fn frame(&mut self, ctx: &Context, run_failure: Option<String>) {
        self.frames += 1;
        if self.frames == SETTLING_FRAMES {
            let (path, outcome, window) = (self.path.clone(), self.outcome.clone(), ctx.clone());
            ctx.request_screenshot(move |image| {
                outcome.set(Taken { written: write_png(&image, &path), run_failure: run_failure.clone() });
                window.send_viewport_cmd(ViewportCommand::Close);
                window.request_repaint();
            });
        }
        if self.frames <= SETTLING_FRAMES {
            ctx.request_repaint();
        }
    }
}

/// # Errors
/// A name that does not end in `.png`, or a folder that is not there.
pub fn check_target(path: &Path) -> Result<(), String> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => {}
        _ => return Err("a picture of the window is a .png".into()),
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(format!("there is no folder {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a picture; a `.png` only.
pub fn write_png(image: &ColorImage, path: &Path) -> Result<(), String> {
    check_target(path)?;
    let too_large = |_| "the window is too large".to_owned();
    let size = (u32::try_from(image.width()).map_err(too_large)?, u32::try_from(image.height()).map_err(too_large)?);
    let rgb: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let mut png = BitMapBackend::new(path, size);
    png.blit_bitmap((0, 0), size, &rgb).map_err(|e| e.to_string())?;
    png.present().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_holds_the_pixels() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("window.png");
        let colors = [egui::Color32::RED, egui::Color32::GREEN, egui::Color32::BLUE, egui::Color32::WHITE];
        write_png(&ColorImage::new([2, 2], colors.to_vec()), &path).expect("writable");
        let read = image::open(&path).expect("a PNG").to_rgb8();
        assert_eq!(read.as_raw(), &[255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]);
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let image = ColorImage::new([1, 1], vec![egui::Color32::RED]);
        assert!(write_png(&image, Path::new("/nowhere/window.png")).is_err());
        assert!(write_png(&image, Path::new("window.bmp")).is_err_and(|e| e.contains(".png")));
    }
}
