// The threads of a CUDA block on a processor, and how they wait for each other.
//
// A thread is a fiber: one runs at a time, and hands over where it waits. The order in which they go on is drawn from a seed, so that a run can be
// repeated and a kernel that depends on an order shows it. With KVLAB_EMULATED_THREADS each is a real thread instead, for ThreadSanitizer; there the
// system draws the order.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#ifdef KVLAB_EMULATED_THREADS
#include <condition_variable>
#include <mutex>
#include <thread>
#else
#include <csetjmp>
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulated {

constexpr unsigned WARP_LANES = 32;
constexpr size_t STACK_BYTES = 128 << 10;

struct Block;

#ifndef KVLAB_EMULATED_THREADS
// Where a fiber, or the scheduler, goes on. It begins as a context; from then on it jumps, which asks the system for nothing.
struct Place {
    ucontext_t context{};
    jmp_buf jump{};
    bool begun = false;
};
#endif

struct Thread {
    uint3 index{};
    unsigned number = 0;
    Block* block = nullptr;
    bool done = false;
#ifndef KVLAB_EMULATED_THREADS
    bool started = false;
    // Of the fiber that it runs on.
    unsigned char* stack = nullptr;
    // What it waits for: an epoch that is over when it is no longer this one.
    const uint64_t* waits_for = nullptr;
    uint64_t waits_while = 0;
    Place* place = nullptr;
    void* fake_stack = nullptr;
#endif
    unsigned lane() const { return number % WARP_LANES; }
};

inline thread_local Thread* current = nullptr;

[[noreturn]] void die(const char* what);

// So many threads meet, again and again.
struct Barrier {
    unsigned expected = 0, arrived = 0, gone = 0;
    uint64_t epoch = 0;
#ifdef KVLAB_EMULATED_THREADS
    std::mutex mutex;
    std::condition_variable changed;
#endif
    // Deposits what `with` does while nobody else is inside, and waits for the others. Returns the epoch that this was.
    uint64_t meet(const std::function<void(uint64_t)>& with);
    // A thread has returned: who waits for it waits in vain.
    void leave();
};

// What lanes show each other; a lane can be one meeting ahead, so two of each.
struct Warp {
    Barrier barrier;
    uint64_t shown[2][WARP_LANES] = {};
};

struct Block {
    dim3 grid, size;
    uint3 index{};
    std::vector<Thread> threads;
    std::unique_ptr<Warp[]> warps;
    Barrier barrier;
    // As much as the launch asked for, no byte more, and full of NaN.
    std::unique_ptr<unsigned char[]> shared;
    size_t shared_bytes = 0;
    const std::function<void()>* kernel = nullptr;
#ifndef KVLAB_EMULATED_THREADS
    Place scheduler{};
    void* scheduler_fake_stack = nullptr;
    // In which threads begin, and the place of the one that is looked at.
    std::vector<unsigned> order;
    size_t place = 0;
    const void* scheduler_stack = nullptr;
    size_t scheduler_stack_bytes = 0;
#endif
};

// Runs a kernel; blocks one after another.
void launch(dim3 grid, dim3 size, size_t shared_bytes, uint64_t seed, const std::function<void()>& kernel);

// All lanes of the warp show a value and see everybody's.
inline const uint64_t* show(uint64_t value) {
    Warp& warp = current->block->warps[current->number / WARP_LANES];
    const unsigned lane = current->lane();
    const uint64_t epoch = warp.barrier.meet([&](uint64_t epoch) { warp.shown[epoch % 2][lane] = value; });
    return warp.shown[epoch % 2];
}

} // namespace emulated
