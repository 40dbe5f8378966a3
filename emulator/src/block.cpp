#include "block.h"

namespace emulated {

void die(const char* what) {
    fprintf(stderr, "emulated kernel: %s\n", what);
    if (current != nullptr) {
        const uint3 block = current->block->index;
        fprintf(stderr, "  in thread %u of block (%u, %u, %u)\n", current->number, block.x, block.y, block.z);
    }
    abort();
}

#ifdef KVLAB_EMULATED_THREADS

uint64_t Barrier::meet(const std::function<void(uint64_t)>& with) {
    std::unique_lock<std::mutex> lock(mutex);
    const uint64_t mine = epoch;
    with(mine);
    if (++arrived == expected) {
        arrived = 0;
        epoch++;
        changed.notify_all();
    } else {
        changed.wait(lock, [&] { return epoch != mine || arrived + gone >= expected; });
        if (epoch == mine) {
            die("a thread waits for others that have returned");
        }
    }
    return mine;
}

void Barrier::leave() {
    std::unique_lock<std::mutex> lock(mutex);
    gone++;
    changed.notify_all();
}

static void run(Block& block, uint64_t) {
    std::vector<std::thread> threads;
    for (Thread& thread : block.threads) {
        threads.emplace_back([&block, &thread] {
            current = &thread;
            (*block.kernel)();
            block.warps[thread.number / WARP_LANES].barrier.leave();
            block.barrier.leave();
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

#else

__attribute__((noinline)) static void switch_to(void** own_fake_stack, const void* stack, size_t bytes, Place& from, Place& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(own_fake_stack, stack, bytes);
#else
    (void)own_fake_stack, (void)stack, (void)bytes;
#endif
    from.begun = true;
    if (_setjmp(from.jump) != 0) {
        return;
    }
    if (to.begun) {
        _longjmp(to.jump, 1);
    }
    setcontext(&to.context);
}

static void arrived_on(void* fake_stack, const void** from_stack, size_t* from_bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, from_stack, from_bytes);
#else
    (void)fake_stack, (void)from_stack, (void)from_bytes;
#endif
}

static void to_scheduler(Thread& thread) {
    Block& block = *thread.block;
    switch_to(
        thread.done ? nullptr : &thread.fake_stack, block.scheduler_stack, block.scheduler_stack_bytes, *thread.place, block.scheduler);
    arrived_on(thread.fake_stack, nullptr, nullptr);
}

uint64_t Barrier::meet(const std::function<void(uint64_t)>& with) {
    Thread& thread = *current;
    const uint64_t mine = epoch;
    with(mine);
    if (++arrived == expected) {
        arrived = 0;
        epoch++;
    } else {
        thread.waits_for = &epoch;
        thread.waits_while = mine;
        to_scheduler(thread);
        thread.waits_for = nullptr;
    }
    return mine;
}

void Barrier::leave() {}

// A fiber runs threads one behind the other, each as long as it does not have to wait; then the rest begin on another. Most threads of most kernels
// never wait, and need no fiber of their own.
static void begin() {
    Block& block = *current->block;
    arrived_on(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
    while (true) {
        Thread& thread = *current;
        (*block.kernel)();
        thread.done = true;
        size_t next = block.place + 1;
        while (next < block.order.size() && block.threads[block.order[next]].started) {
            next++;
        }
        if (next >= block.order.size()) {
            to_scheduler(thread);
        }
        block.place = next;
        current = &block.threads[block.order[next]];
        current->started = true;
        current->stack = thread.stack;
    }
}

__attribute__((noinline)) static void make_fiber(Thread& thread) {
    ucontext_t& context = thread.place->context;
    getcontext(&context);
    context.uc_stack.ss_sp = thread.stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = nullptr;
    makecontext(&context, begin, 0);
}

static void run(Block& block, uint64_t seed) {
    static thread_local std::vector<std::unique_ptr<unsigned char[]>> stacks;
    static thread_local std::vector<std::unique_ptr<Place>> places;
    while (stacks.size() < block.threads.size()) {
        stacks.emplace_back(new unsigned char[STACK_BYTES]);
        places.emplace_back(new Place);
    }
    for (Thread& thread : block.threads) {
        thread.place = places[thread.number].get();
        thread.place->begun = false;
    }
    block.order.resize(block.threads.size());
    std::iota(block.order.begin(), block.order.end(), 0u);
    uint64_t random = seed;
    for (bool all_done = false; !all_done;) {
        // xorshift (Marsaglia 2003); without a seed the order is that of the numbers.
        for (size_t i = block.order.size(); random != 0 && i > 1; i--) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            std::swap(block.order[i - 1], block.order[random % i]);
        }
        bool moved = false;
        for (block.place = 0; block.place < block.order.size(); block.place++) {
            Thread& thread = block.threads[block.order[block.place]];
            if (thread.done || (thread.waits_for != nullptr && *thread.waits_for == thread.waits_while)) {
                continue;
            }
            moved = true;
            if (!thread.started) {
                thread.started = true;
                thread.stack = stacks[thread.number].get();
                make_fiber(thread);
            }
            current = &thread;
            switch_to(&block.scheduler_fake_stack, thread.stack, STACK_BYTES, block.scheduler, *thread.place);
            arrived_on(block.scheduler_fake_stack, nullptr, nullptr);
        }
        all_done = true;
        for (const Thread& thread : block.threads) {
            all_done = all_done && thread.done;
        }
        if (!moved && !all_done) {
            die("threads wait for others that have returned or wait elsewhere");
        }
    }
    current = nullptr;
}

#endif

void launch(dim3 grid, dim3 size, size_t shared_bytes, uint64_t seed, const std::function<void()>& kernel) {
    const unsigned n = size.x * size.y * size.z, n_warps = (n + WARP_LANES - 1) / WARP_LANES;
    if (n == 0 || n > 1024 || n % WARP_LANES != 0 || grid.x == 0 || grid.y - 1 >= 65535 || grid.z - 1 >= 65535 || shared_bytes > 48 << 10) {
        die("a launch that no GPU accepts, or one of parts of a warp");
    }
    std::vector<Thread> threads;
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                Block block;
                block.grid = grid, block.size = size, block.index = {x, y, z}, block.kernel = &kernel;
                block.threads.swap(threads);
                block.threads.assign(n, Thread());
                block.warps.reset(new Warp[n_warps]);
                block.barrier.expected = n;
                block.shared.reset(new unsigned char[shared_bytes]);
                block.shared_bytes = shared_bytes;
                memset(block.shared.get(), 0xff, shared_bytes);
                for (unsigned i = 0; i < n; i++) {
                    Thread& thread = block.threads[i];
                    thread.number = i, thread.block = &block;
                    thread.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
                    block.warps[i / WARP_LANES].barrier.expected++;
                }
                run(block, seed);
                // Their memory serves the next block.
                threads.swap(block.threads);
            }
        }
    }
}

} // namespace emulated
