// How rows are read, eight channels at a time: the decoders of kvlab's codecs, value for value (src/kernels/codec).
//
// A format says how many bits a code has and turns the eight codes from channel `channel` of a row and head into f32. Codes of less than a
// byte are packed in groups of 32, so that a byte holds codes that lie far apart: eight neighbours are in eight (or all) neighbouring bytes.
#pragma once

#include "common.cuh"

// Where a row of a head is, and what it belongs to.
struct Place {
    size_t row;
    int n_kv_head;
    int kv_head;
    int head_dim;

    __device__ __forceinline__ size_t head() const { return row * n_kv_head + kv_head; }

    // Bytes before the code of `channel`, for codes of whole bytes.
    __device__ __forceinline__ size_t byte(int channel, int bits) const {
        return (head() * head_dim + channel) * bits / 8;
    }

    // Bytes before the group that `channel` is in.
    __device__ __forceinline__ size_t group_byte(int channel, int bits) const {
        return (head() * head_dim + channel / GROUP * GROUP) * bits / 8;
    }

    // Number of that group, over all rows and heads.
    __device__ __forceinline__ size_t group(int channel) const { return head() * (head_dim / GROUP) + channel / GROUP; }
};

template <class T>
__device__ __forceinline__ T load(const uint8_t* bytes) {
    return *reinterpret_cast<const T*>(bytes);
}

__device__ __forceinline__ float half_at(const uint8_t* bytes, size_t index) {
    return __half2float(reinterpret_cast<const __half*>(bytes)[index]);
}

__device__ __forceinline__ float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }

struct F32 {
    static constexpr int BITS = 32;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        const uint8_t* codes = plane.codes + at.byte(channel, BITS);
        const float4 low = load<float4>(codes), high = load<float4>(codes + 16);
        x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
        x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
    }
};

// The two 16-bit halves of each word of a load of 16 bytes.
__device__ __forceinline__ void halves(const uint4& words, uint16_t (&x)[OCTET]) {
    const uint32_t all[4] = {words.x, words.y, words.z, words.w};
    for (int i = 0; i < OCTET; i++) {
        x[i] = static_cast<uint16_t>(all[i / 2] >> (i % 2 * 16));
    }
}

struct F16 {
    static constexpr int BITS = 16;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint16_t codes[OCTET];
        halves(load<uint4>(plane.codes + at.byte(channel, BITS)), codes);
        for (int i = 0; i < OCTET; i++) {
            x[i] = __half2float(__ushort_as_half(codes[i]));
        }
    }
};

struct Bf16 {
    static constexpr int BITS = 16;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint16_t codes[OCTET];
        halves(load<uint4>(plane.codes + at.byte(channel, BITS)), codes);
        for (int i = 0; i < OCTET; i++) {
            x[i] = bits_to_float(static_cast<uint32_t>(codes[i]) << 16);
        }
    }
};

// The eight bytes of a load.
__device__ __forceinline__ void bytes_of(const uint2& words, uint8_t (&x)[OCTET]) {
    for (int i = 0; i < OCTET; i++) {
        x[i] = static_cast<uint8_t>((i < 4 ? words.x : words.y) >> (i % 4 * 8));
    }
}

// e4m3: its exponent and mantissa, where f16 has them, are a number that is 2^8 too small.
struct F8 {
    static constexpr int BITS = 8;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint8_t codes[OCTET];
        bytes_of(load<uint2>(plane.codes + at.byte(channel, BITS)), codes);
        for (int i = 0; i < OCTET; i++) {
            const uint16_t half = static_cast<uint16_t>((codes[i] & 0x80) << 8 | (codes[i] & 0x7f) << 7);
            x[i] = __half2float(__ushort_as_half(half)) * 256.0f;
        }
    }
};

// Signed bytes, and an f32 for each row of a head.
struct Int8 {
    static constexpr int BITS = 8;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint8_t codes[OCTET];
        bytes_of(load<uint2>(plane.codes + at.byte(channel, BITS)), codes);
        const float scale = reinterpret_cast<const float*>(plane.scales)[at.head()];
        for (int i = 0; i < OCTET; i++) {
            x[i] = static_cast<float>(static_cast<int8_t>(codes[i])) * scale;
        }
    }
};

// ggml's: signed bytes, and an f16 for each group.
struct Q8_0 {
    static constexpr int BITS = 8;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint8_t codes[OCTET];
        bytes_of(load<uint2>(plane.codes + at.byte(channel, BITS)), codes);
        const float scale = half_at(plane.scales, at.group(channel));
        for (int i = 0; i < OCTET; i++) {
            x[i] = static_cast<float>(static_cast<int8_t>(codes[i])) * scale;
        }
    }
};

// Eight packed codes of B bits: byte j of a group of n bytes holds the codes j, j + n, j + 2 n, ..., the first in its lowest bits.
template <int B>
__device__ __forceinline__ void packed(const Plane& plane, const Place& at, int channel, uint8_t (&x)[OCTET]) {
    constexpr int N_BYTES = GROUP * B / 8;
    const int in_group = channel % GROUP;
    uint8_t codes[OCTET];
    bytes_of(load<uint2>(plane.codes + at.group_byte(channel, B) + in_group % N_BYTES), codes);
    const int shift = in_group / N_BYTES * B;
    for (int i = 0; i < OCTET; i++) {
        x[i] = codes[i] >> shift & ((1 << B) - 1);
    }
}

// ggml's: codes from 0 to 15 that mean -8 to 7, and an f16 for each group.
struct Q4_0 {
    static constexpr int BITS = 4;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint8_t codes[OCTET];
        packed<BITS>(plane, at, channel, codes);
        const float scale = half_at(plane.scales, at.group(channel));
        for (int i = 0; i < OCTET; i++) {
            x[i] = (static_cast<float>(codes[i]) - 8.0f) * scale;
        }
    }
};

// Equal steps from a group's minimum; an f16 for each of the two.
template <int B>
struct Affine {
    static constexpr int BITS = B;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint8_t codes[OCTET];
        packed<B>(plane, at, channel, codes);
        const float minimum = half_at(plane.scales, at.group(channel) * 2);
        const float step = half_at(plane.scales, at.group(channel) * 2 + 1);
        for (int i = 0; i < OCTET; i++) {
            x[i] = __fadd_rn(minimum, __fmul_rn(step, static_cast<float>(codes[i])));
        }
    }
};

// The same, with a minimum and a step for each channel of 32 tokens: scales [rows / 32][kv_head][head_dim].
template <int B>
struct Channels {
    static constexpr int BITS = B;

    __device__ static __forceinline__ void read(const Plane& plane, const Place& at, int channel, float (&x)[OCTET]) {
        uint8_t codes[OCTET];
        packed<B>(plane, at, channel, codes);
        const size_t first = (at.row / GROUP * at.n_kv_head + at.kv_head) * at.head_dim + channel;
        // Two pairs of a minimum and a step in each load.
        const uint8_t* scales = plane.scales + first * 4;
        for (int pair = 0; pair < OCTET / 4; pair++) {
            uint16_t steps[OCTET];
            halves(load<uint4>(scales + 16 * pair), steps);
            for (int i = 0; i < 4; i++) {
                const float minimum = __half2float(__ushort_as_half(steps[2 * i]));
                const float step = __half2float(__ushort_as_half(steps[2 * i + 1]));
                x[4 * pair + i] = __fadd_rn(minimum, __fmul_rn(step, static_cast<float>(codes[4 * pair + i])));
            }
        }
    }
};
