//! Your cache and the solution's, as the story model takes them.

use kvlab::cache::GuestCache;

/// The `Cache` of a module, with room for the story model's context, as a boxed [`GuestCache`].
macro_rules! guest {
    ($module:ident) => {{
        use kvlab::cache::{GuestBytes, GuestCache};

        struct Guest {
            cache: $module::Cache,
            /// Where the buffers lay after the last append.
            places: [usize; 2],
            copied_bytes: u64,
        }

        fn places(cache: &$module::Cache) -> [usize; 2] {
            [cache.keys.as_ptr().addr(), cache.values.as_ptr().addr()]
        }

        fn used_bytes(cache: &$module::Cache) -> u64 {
            let tokens: usize = cache.filled.iter().sum();
            (2 * tokens * cache.shape.row() * size_of::<f32>()) as u64
        }

        impl GuestCache for Guest {
            fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
                let used = used_bytes(&self.cache);
                if let Err(error) = self.cache.append(layer, k, v) {
                    panic!("{error:#}"); // the model asks for no answer; who runs it catches this and says it
                }
                // A buffer that lies elsewhere was copied, with everything in it.
                let places = places(&self.cache);
                self.copied_bytes += if places == self.places { 0 } else { used };
                self.places = places;
            }

            fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
                $module::attend(&self.cache, layer, q)
            }

            fn bytes(&self) -> GuestBytes {
                let reserved_bytes = (size_of_val(&*self.cache.keys) + size_of_val(&*self.cache.values)) as u64;
                GuestBytes { reserved_bytes, used_bytes: used_bytes(&self.cache), copied_bytes: self.copied_bytes }
            }
        }

        let cache = $module::Cache::new($crate::given::STORY, $crate::given::CONTEXT);
        let places = places(&cache);
        Box::new(Guest { cache, places, copied_bytes: 0 }) as Box<dyn GuestCache>
    }};
}
pub(crate) use guest;

/// The cache of `exercise.rs`.
#[must_use]
pub fn exercise() -> Box<dyn GuestCache> {
    use crate::exercise;
    guest!(exercise)
}

/// The cache of `solution.rs`.
#[must_use]
pub fn solution() -> Box<dyn GuestCache> {
    use crate::solution;
    guest!(solution)
}
