// What candle's kernels need of CUDA C++ beyond what kvlab's do. Those of f16, bf16 and f8 are left out: an architecture before 5.3 has none.
#pragma once

#include <algorithm>
#include <cassert>
#include <limits>
#include <type_traits>

#include "cuda.h"
#include "registry.h"

using std::isinf;
using std::max;
using std::min;
using std::signbit;

// Blocks run one after another, so a variable that stays is memory that a block's threads share.
#define __shared__ static
#define __host__
#define __constant__ static const
#define __noinline__ __attribute__((noinline))
#define warpSize 32

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

template <class A, class B, class = std::enable_if_t<!std::is_same<A, B>::value>>
static inline std::common_type_t<A, B> min(A a, B b) { return a < b ? a : b; }
template <class A, class B, class = std::enable_if_t<!std::is_same<A, B>::value>>
static inline std::common_type_t<A, B> max(A a, B b) { return a > b ? a : b; }

static inline void __syncwarp(unsigned mask = 0xffffffffu) { from_lane(mask, 0u, 0); }
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int distance, int) { return __shfl_xor_sync(mask, value, distance); }
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, int = 32) {
    const unsigned lane = emulated::current->lane();
    return from_lane(mask, value, lane + distance < emulated::WARP_LANES ? lane + distance : lane);
}
template <class T>
static inline T __ldg(const T* address) { return *address; }

template <class T, class F>
static inline T exchange(T* address, F changed) {
    T before = *address;
    *address = changed(before);
    return before;
}
// One thread runs at a time.
template <class T, class U>
static inline T atomicAdd(T* address, U value) { return exchange(address, [&](T x) { return static_cast<T>(x + value); }); }
template <class T, class U, class V>
static inline T atomicCAS(T* address, U expected, V value) {
    return exchange(address, [&](T x) { return x == static_cast<T>(expected) ? static_cast<T>(value) : x; });
}

template <class T, class U>
static inline T atomicMax(T* address, U value) { return exchange(address, [&](T x) { return std::max(x, static_cast<T>(value)); }); }
template <class T, class U>
static inline T atomicMin(T* address, U value) { return exchange(address, [&](T x) { return std::min(x, static_cast<T>(value)); }); }

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
// A function of the C library has this name.
#define __expf expf
#define __logf logf
static inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
static inline double normcdf(double x) { return 0.5 * erfc(-x * 0.7071067811865476); }
static inline float __int_as_float(int bits) { return same_bits<float>(bits); }
static inline int __float_as_int(float x) { return same_bits<int>(x); }
static inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return same_bits<double>(x); }

// Named in headers, called by nobody here.
using half = __half;
static inline uint16_t __half_as_ushort(__half x) { return x.bits; }
static inline __half __hmax_nan(__half a, __half) { return a; }
static inline __half __hmin_nan(__half a, __half) { return a; }
struct __nv_bfloat16 {
    uint16_t bits;
};
struct __nv_fp8_e4m3 {
    uint8_t bits;
};
