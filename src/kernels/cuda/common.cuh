// What all kernels share: the types of arguments, sums over lanes, arithmetic that is not fused.
//
// Every kernel here compiles twice: with nvcc for a GPU, and with a C++ compiler and the emulator's headers for tests on a processor. So shared
// memory is only what a launch asks for (SHARED_MEMORY), and collectives always name all 32 lanes.
#pragma once

#ifndef KVLAB_EMULATED
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>
// Aligned for 16-byte accesses.
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]
// Behind each kernel: the emulator finds it by this.
#define KERNEL(name)
#endif

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int WARP = 32;
// Channels that a lane reads at once.
constexpr int OCTET = 8;
// Values that share a scale in formats that group them.
constexpr int GROUP = 32;
// In a list of rows: the row is one of the exact ones, not of the pool.
constexpr uint32_t EXACT = 0x80000000u;

// The keys, or the values, of one layer: codes [row][kv_head][head_dim] and scales, as kvlab's codecs lay them out.
struct Plane {
    const uint8_t* codes;
    const uint8_t* scales;
};

// What a query sees: the first `n_visible` entries of its sequence's list of rows.
struct Query {
    uint32_t first_row;
    uint32_t n_visible;
};

__device__ __forceinline__ float sum_over(float x, int lanes) {
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, distance);
    }
    return x;
}

__device__ __forceinline__ float max_over(float x, int lanes) {
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    }
    return x;
}

__device__ __forceinline__ float min_over(float x, int lanes) {
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
        x = fminf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    }
    return x;
}

// The running state of an online softmax: the largest score, and the sum of weights relative to it.
struct Softmax {
    float largest = -INFINITY;
    float total = 0.0f;

    // What sums so far are to be multiplied with when weights up to `score` come in; `weight` is the new one's.
    __device__ __forceinline__ float take(float score, float& weight) {
        const float before = largest;
        largest = fmaxf(largest, score);
        // With nothing before, e^-inf is 0.
        const float kept = before == largest ? 1.0f : expf(before - largest);
        weight = expf(score - largest);
        total = total * kept + weight;
        return kept;
    }
};

// A weighted mean; of nothing it is 0, as for a query that sees no token.
__device__ __forceinline__ float mean(float sum, float total) { return total > 0.0f ? sum / total : 0.0f; }

// How much of a part counts in a whole whose largest score is `largest`; a part that saw nothing counts nothing.
__device__ __forceinline__ float share(float part_largest, float largest) {
    return part_largest == -INFINITY ? 0.0f : expf(part_largest - largest);
}
