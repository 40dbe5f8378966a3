// As much of CUDA C++ as kvlab's kernels use, in plain C++.
#pragma once

#define KVLAB_EMULATED 1

#include <cmath>

#include "block.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define SHARED_MEMORY(name) unsigned char* name = emulated::current->block->shared.get()

#define threadIdx (emulated::current->index)
#define blockIdx (emulated::current->block->index)
#define blockDim (emulated::current->block->size)
#define gridDim (emulated::current->block->grid)

using std::isfinite;
using std::isnan;

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }

static inline void __syncthreads() {
    emulated::current->block->barrier.meet([](uint64_t) {});
}

template <class T>
static inline T from_lane(unsigned mask, T value, unsigned lane) {
    static_assert(sizeof(T) <= 8, "a lane shows one word");
    if (mask != 0xffffffffu || lane >= emulated::WARP_LANES) {
        emulated::die("a collective that leaves lanes out");
    }
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    const uint64_t* all = emulated::show(word);
    memcpy(&value, &all[lane], sizeof value);
    return value;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane) {
    return from_lane(mask, value, static_cast<unsigned>(lane) % emulated::WARP_LANES);
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int distance) {
    return from_lane(mask, value, emulated::current->lane() ^ static_cast<unsigned>(distance));
}

static inline unsigned atomicMax(unsigned* address, unsigned value) {
    unsigned before = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (before < value && !__atomic_compare_exchange_n(address, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return before;
}

// These never become part of a fused multiply-add; the compiler is told not to make one of others either.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }

template <class To, class From>
static inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline float __uint_as_float(uint32_t bits) { return same_bits<float>(bits); }
static inline uint32_t __float_as_uint(float x) { return same_bits<uint32_t>(x); }

// IEEE half precision, as its bits.
struct __half {
    uint16_t bits;
};

static inline __half __ushort_as_half(uint16_t bits) { return {bits}; }

static inline float __half2float(__half x) {
    const uint32_t sign = (x.bits & 0x8000u) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
    if (exponent == 0) {
        // Steps of 2^-24.
        const float size = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -size : size;
    }
    const uint32_t widened = exponent == 31 ? 0x7f800000u : (exponent + 127 - 15) << 23;
    return __uint_as_float(sign | widened | fraction << 13);
}

// The nearest, of two the one whose last bit is 0.
static inline __half __float2half_rn(float x) {
    const uint32_t bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u;
    uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) {
        return {static_cast<uint16_t>(sign | 0x7e00u)};
    }
    if (size < 0x38800000u) {
        return {static_cast<uint16_t>(sign | static_cast<uint32_t>(lrintf(fabsf(x) * 0x1p24f)))};
    }
    size += 0xfffu + (size >> 13 & 1u);
    const uint32_t half = size >= 0x47800000u ? 0x7c00u : (size - ((127u - 15u) << 23)) >> 13;
    return {static_cast<uint16_t>(sign | half)};
}
