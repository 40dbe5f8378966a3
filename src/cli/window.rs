//! `kvlab app`: the window.
