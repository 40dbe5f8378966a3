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

static void switch_to(void** own_fake_stack, const void* stack, size_t bytes, ucontext_t& from, ucontext_t& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(own_fake_stack, stack, bytes);
#else
    (void)own_fake_stack, (void)stack, (void)bytes;
#endif
    swapcontext(&from, &to);
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
        thread.done ? nullptr : &thread.fake_stack, block.scheduler_stack, block.scheduler_stack_bytes, thread.context, block.scheduler);
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

static void begin() {
    Thread& thread = *current;
    Block& block = *thread.block;
    arrived_on(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
    (*block.kernel)();
    thread.done = true;
    to_scheduler(thread);
}

static void run(Block& block, uint64_t seed) {
    static thread_local std::vector<std::unique_ptr<unsigned char[]>> stacks;
    while (stacks.size() < block.threads.size()) {
        stacks.emplace_back(new unsigned char[STACK_BYTES]);
    }
    for (Thread& thread : block.threads) {
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = stacks[thread.number].get();
        thread.context.uc_stack.ss_size = STACK_BYTES;
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, begin, 0);
    }
    std::vector<unsigned> order(block.threads.size());
    std::iota(order.begin(), order.end(), 0u);
    size_t left = order.size();
    uint64_t random = seed;
    while (left > 0) {
        // xorshift (Marsaglia 2003); without a seed the order is that of the numbers.
        for (size_t i = order.size(); random != 0 && i > 1; i--) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            std::swap(order[i - 1], order[random % i]);
        }
        bool moved = false;
        for (unsigned number : order) {
            Thread& thread = block.threads[number];
            if (thread.done || (thread.waits_for != nullptr && *thread.waits_for == thread.waits_while)) {
                continue;
            }
            moved = true;
            current = &thread;
            switch_to(&block.scheduler_fake_stack, stacks[number].get(), STACK_BYTES, block.scheduler, thread.context);
            arrived_on(block.scheduler_fake_stack, nullptr, nullptr);
            left -= thread.done;
        }
        if (!moved) {
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
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                Block block;
                block.grid = grid, block.size = size, block.index = {x, y, z}, block.kernel = &kernel;
                block.threads = std::vector<Thread>(n);
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
            }
        }
    }
}

} // namespace emulated
