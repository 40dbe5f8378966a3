//! A lab in kvlab's window, with the learner's cache as the lane `mine`.

use std::path::Path;

use anyhow::{Result, anyhow};
use kvlab::{
    app::{self, Asked, Options},
    cache::{
        HeadShape, KvShape,
        guest::{GuestCache, MakeGuest, register},
    },
};

/// What the window shows of a lab.
#[derive(Clone, Copy)]
pub struct Window {
    /// Lanes; `mine` among them where the lab has a cache.
    pub lanes: &'static str,
    /// The pane, by its name.
    pub pane: &'static str,
    /// New tokens of each lane.
    pub tokens: usize,
    pub mine: Option<Mine>,
}

/// Caches that become the lane `mine`.
#[derive(Clone, Copy)]
pub struct Mine {
    pub exercise: MakeGuest,
    pub solution: MakeGuest,
}

/// The embedded model's, for which a learner's cache has its sizes.
const STORY: (usize, HeadShape) = (5, HeadShape { n_head: 6, n_kv_head: 6, head_dim: 32 });

/// A cache for the story model; the window can choose other models, and for those there is none.
///
/// # Errors
/// A sentence for whoever chose another model.
pub fn for_story(shape: KvShape, make: impl FnOnce() -> Box<dyn GuestCache>) -> Result<Box<dyn GuestCache>, String> {
    if (shape.n_layer, shape.heads) == STORY {
        Ok(make())
    } else {
        Err("a lab's cache has the sizes of the model `story`".into())
    }
}

/// Opens the window, or writes its picture once the lanes have run.
///
/// # Errors
/// No display, or a run that failed, as one does whose cache is not written yet.
pub fn open(window: Window, is_solution: bool, picture: Option<&Path>) -> Result<()> {
    if let Some(mine) = window.mine {
        register(if is_solution { mine.solution } else { mine.exercise });
    }
    let pane = window.pane.parse().map_err(|error: String| anyhow!(error))?;
    // A lane that has no room for more ends by itself; the window stays.
    let options = Options {
        lanes: window.lanes.into(),
        pane,
        tokens: window.tokens,
        asked: Asked { form: true, layout: true },
        autorun: window.mine.is_some() || picture.is_some(),
        ..Options::default()
    };
    match picture {
        Some(path) => {
            app::check_picture(path)?;
            app::draw(&options, path)?;
        }
        None => app::run(options)?,
    }
    Ok(())
}
