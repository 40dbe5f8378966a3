//! Mistakes people make. Each file says what is wrong and which check catches it; the rest is the solution's.

pub mod counts_the_new_as_past;
pub mod counts_what_is_new;
pub mod drops_the_rest;
pub mod lets_layers_grow;
pub mod masks_without_the_past;
pub mod mixes_the_layers;
pub mod shows_what_is_reserved;
pub mod stores_what_fits;
pub mod truncates_the_memory;
