//! What the window remembers from one start to the next.
//!
//! One JSON file, `window.json`, in `$KVLAB_CONFIG` or in `kvlab` of the system's folder for settings. It appears whole or not at all. A
//! file that cannot be used costs a note and is never an error: the window opens as it would for the first time.

mod file;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::theme::{self, Look};

pub use file::{PrefsError, PrefsFile};

/// The version of the file that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// Traces that are remembered.
pub const MAX_RECENT: usize = 8;
/// No window is larger, in points a side.
const MAX_SIDE: f32 = 16_384.0;
/// A smaller one could not be found again.
const MIN_SIDE: f32 = 200.0;

/// All that is remembered. What belongs to another part of the window is kept as that part wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prefs {
    pub version: u32,
    pub look: Look,
    /// How far a person has zoomed, see [`theme::zoom`].
    pub zoom: f32,
    /// How the panes are arranged; null: as at the first start.
    pub layout: Value,
    /// The fields of the controls.
    pub form: Option<Value>,
    /// Traces that were opened, the newest first.
    pub recent_traces: Vec<PathBuf>,
    /// How far somebody is with the lessons.
    pub learn: Option<Value>,
    /// Width and height of the window in points.
    pub window_size: Option<[f32; 2]>,
}

impl Default for Prefs {
    fn default() -> Self {
        Self {
            version: VERSION,
            look: Look::default(),
            zoom: 1.0,
            layout: Value::Null,
            form: None,
            recent_traces: vec![],
            learn: None,
            window_size: None,
        }
    }
}

impl Prefs {
    /// Puts a trace in front of the recent ones. A path that is no Unicode text cannot be written down and is left out.
    pub fn remember_trace(&mut self, path: &Path) {
        if path.to_str().is_some() {
            self.recent_traces.retain(|other| other != path);
            self.recent_traces.insert(0, path.to_owned());
            self.recent_traces.truncate(MAX_RECENT);
        }
    }

    /// The same with numbers and lists within their bounds, whatever a file said.
    fn within_bounds(mut self) -> Self {
        self.version = VERSION;
        self.zoom =
            if self.zoom.is_finite() { self.zoom.clamp(*theme::ZOOMS.start(), *theme::ZOOMS.end()) } else { 1.0 };
        self.recent_traces.truncate(MAX_RECENT);
        let is_usable = |size: &[f32; 2]| size.iter().all(|side| (MIN_SIDE..=MAX_SIDE).contains(side));
        self.window_size = self.window_size.filter(is_usable);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_trace_is_first_and_there_are_eight() {
        let mut prefs = Prefs::default();
        (0..10).for_each(|number| prefs.remember_trace(&PathBuf::from(format!("{number}"))));
        prefs.remember_trace(Path::new("5"));
        let names: Vec<&str> = prefs.recent_traces.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(names, ["5", "9", "8", "7", "6", "4", "3", "2"]);
    }

    #[test]
    fn numbers_out_of_bounds_are_brought_back() {
        let read = |text: &str| serde_json::from_str::<Prefs>(text).expect(text).within_bounds();
        assert_eq!(read("{}"), Prefs::default());
        let wild = read(r#"{"zoom": 1000, "window_size": [1280, 3]}"#);
        assert_eq!((wild.zoom, wild.window_size), (3.0, None));
        let usual = read(r#"{"zoom": 1.2, "window_size": [1280, 800], "look": "projector", "unknown": 3}"#);
        assert_eq!((usual.zoom, usual.window_size, usual.look), (1.2, Some([1280.0, 800.0]), Look::Projector));
        assert_eq!(Prefs { zoom: f32::NAN, ..Prefs::default() }.within_bounds(), Prefs::default());
    }
}
