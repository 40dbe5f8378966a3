// kvlab's kernels, compiled for this processor, and the door for Rust.
#include "cuda.h"
#include "registry.h"

#include "append.cu"
#include "prefill.cu"
#include "rows.cu"
#include "walk.cu"

namespace {
enum Outcome { LAUNCHED = 0, NO_SUCH_KERNEL = 1, OTHER_ARGUMENTS = 2 };
}

extern "C" int kvlab_emulated_launch(
    const char* name, const unsigned* grid, unsigned n_threads, size_t shared_bytes, uint64_t seed, void** arguments,
    const size_t* argument_bytes, size_t n_arguments) {
    const auto found = emulated::kernels().find(name);
    if (found == emulated::kernels().end()) {
        return NO_SUCH_KERNEL;
    }
    const emulated::Kernel& kernel = found->second;
    if (kernel.argument_bytes != std::vector<size_t>(argument_bytes, argument_bytes + n_arguments)) {
        return OTHER_ARGUMENTS;
    }
    emulated::launch({grid[0], grid[1], grid[2]}, {n_threads}, shared_bytes, seed, [&] { kernel.call(arguments); });
    return LAUNCHED;
}
