//! Runs kvlab's CUDA kernels on a processor, so that they are tested without a GPU.
//!
//! The `.cu` files of `src/kernels/cuda` are compiled as C++ against headers that stand in for CUDA's (`include/`). A thread of a block is a fiber; in
//! which order they go on is drawn from a seed. Shared memory is as large as a launch says and full of NaN; a barrier that a thread never reaches
//! ends the process with a message. What this does not show: how fast a kernel is, whether a driver takes it, and whatever only happens between
//! blocks that run at once.

#![cfg(not(no_emulator))]

use std::{
    ffi::{CString, c_char, c_int, c_void},
    mem::MaybeUninit,
};

#[expect(unsafe_code, reason = "the door to the kernels")]
// SAFETY: the function of src/kernels.cpp, with its types.
unsafe extern "C" {
    fn kvlab_emulated_launch(
        name: *const c_char,
        grid: *const u32,
        n_threads: u32,
        shared_bytes: usize,
        seed: u64,
        arguments: *mut *mut c_void,
        argument_bytes: *const usize,
        n_arguments: usize,
    ) -> c_int;
}

/// The call of a kernel.
#[derive(Clone, Debug)]
pub struct Launch {
    name: String,
    grid: [u32; 3],
    n_threads: u32,
    shared_bytes: usize,
    seed: u64,
    /// Each in memory that is aligned for any argument, and how many bytes of that it is.
    arguments: Vec<(Vec<u128>, usize)>,
}

/// Why a kernel was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    NoSuchKernel,
    /// Another number of arguments, or of other sizes.
    OtherArguments,
}

impl Launch {
    /// So many blocks of so many threads.
    #[must_use]
    pub fn new(name: &str, grid: [u32; 3], n_threads: u32) -> Self {
        Self { name: name.into(), grid, n_threads, shared_bytes: 0, seed: 0, arguments: vec![] }
    }

    #[must_use]
    pub fn shared_bytes(mut self, bytes: usize) -> Self {
        self.shared_bytes = bytes;
        self
    }

    /// Another order of threads; 0 is that of their numbers.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The next argument, as the kernel's own type lies in memory.
    #[must_use]
    pub fn arg<T: Copy>(mut self, value: T) -> Self {
        let mut words = vec![0_u128; size_of::<T>().div_ceil(size_of::<u128>())];
        let place = words.as_mut_ptr().cast::<MaybeUninit<T>>();
        #[expect(unsafe_code, reason = "an argument as bytes")]
        // SAFETY: the words are as many bytes as a `T` at least, aligned to 16, which suffices for all types of arguments; they are ours.
        unsafe {
            const { assert!(align_of::<T>() <= align_of::<u128>()) };
            place.write(MaybeUninit::new(value));
        }
        self.arguments.push((words, size_of::<T>()));
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`Refused`], before anything ran.
    ///
    /// # Safety
    /// Pointers among the arguments must be good for what the kernel does with them.
    #[expect(unsafe_code, reason = "kernels take pointers")]
    pub unsafe fn run(mut self) -> Result<(), Refused> {
        let name = CString::new(self.name).map_err(|_| Refused::NoSuchKernel)?;
        let bytes: Vec<usize> = self.arguments.iter().map(|(_, bytes)| *bytes).collect();
        let mut pointers: Vec<*mut c_void> =
            self.arguments.iter_mut().map(|(words, _)| words.as_mut_ptr().cast()).collect();
        // SAFETY: all pointers are to memory of this function that is as long as is said; the rest the caller promised.
        let outcome = unsafe {
            kvlab_emulated_launch(
                name.as_ptr(),
                self.grid.as_ptr(),
                self.n_threads,
                self.shared_bytes,
                self.seed,
                pointers.as_mut_ptr(),
                bytes.as_ptr(),
                bytes.len(),
            )
        };
        match outcome {
            0 => Ok(()),
            1 => Err(Refused::NoSuchKernel),
            _ => Err(Refused::OtherArguments),
        }
    }
}
