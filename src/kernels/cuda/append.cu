// Storing rows: new keys and values into the rows that the block table gave them, quantized on the way; and groups of 32 exact tokens that are
// old enough, by channel. The encoders of kvlab's codecs, byte for byte (src/kernels/codec): where a product and a sum follow each other they are
// kept apart, since a fused one rounds differently.
#include "common.cuh"

// The flag that says: a value was no number, or infinite. It names the first token with such a value, counted down from all ones, so that 0
// says that there was none. Such a row is stored as it comes; whoever reads the flag refuses the step.
__device__ __forceinline__ void check(float x, uint32_t token, uint32_t* not_finite) {
    if (!isfinite(x)) {
        atomicMax(not_finite, 0xffffffffu - token);
    }
}

__device__ __forceinline__ float within_half(float x) { return fminf(fmaxf(x, -65504.0f), 65504.0f); }

__device__ __forceinline__ __half to_half(float x) { return __float2half_rn(within_half(x)); }

__device__ __forceinline__ float inverse_of(float x) {
    const float inverse = __fdiv_rn(1.0f, x);
    return isfinite(inverse) ? inverse : 0.0f;
}

// A row of one head, on its way into a plane. A warp stores it, a group of 32 channels at a time.
struct Row {
    const float* x;
    uint8_t* codes;
    uint8_t* scales;
    // Of the pool, over all rows and heads.
    size_t head;
    int head_dim;
    int lane;

    __device__ __forceinline__ size_t first() const { return head * head_dim; }
    __device__ __forceinline__ size_t group(int channel) const { return first() / GROUP + channel / GROUP; }
};

// Packs a group's codes, one of a lane.
template <int B>
__device__ __forceinline__ void pack(uint8_t* bytes, int lane, uint32_t code) {
    constexpr int N_BYTES = GROUP * B / 8;
    uint32_t byte = 0;
    for (int place = 0; place < 8 / B; place++) {
        byte |= __shfl_sync(ALL_LANES, code, lane % N_BYTES + place * N_BYTES) << (place * B);
    }
    if (lane < N_BYTES) {
        bytes[lane] = static_cast<uint8_t>(byte);
    }
}

struct StoreF32 {
    __device__ static void store(const Row& row) {
        for (int i = row.lane; i < row.head_dim; i += WARP) {
            reinterpret_cast<float*>(row.codes)[row.first() + i] = row.x[i];
        }
    }
};

struct StoreF16 {
    __device__ static void store(const Row& row) {
        for (int i = row.lane; i < row.head_dim; i += WARP) {
            reinterpret_cast<__half*>(row.codes)[row.first() + i] = to_half(row.x[i]);
        }
    }
};

struct StoreBf16 {
    __device__ static void store(const Row& row) {
        for (int i = row.lane; i < row.head_dim; i += WARP) {
            // The largest one that is finite.
            const float x = fminf(fmaxf(row.x[i], -__uint_as_float(0x7f7f0000u)), __uint_as_float(0x7f7f0000u));
            const uint32_t bits = __float_as_uint(x);
            const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
            reinterpret_cast<uint16_t*>(row.codes)[row.first() + i] = static_cast<uint16_t>(rounded >> 16);
        }
    }
};

struct StoreF8 {
    // The nearest, of two the one with an even mantissa, at most 448.
    __device__ static __forceinline__ uint8_t code(float x) {
        const uint8_t sign = static_cast<uint8_t>(__float_as_uint(x) >> 24 & 0x80u);
        const float size = fabsf(x);
        if (size >= 464.0f) {
            return sign | 0x7e;
        }
        if (size < 0.015625f) {
            // Below the smallest normal number steps are 2^-9; eight of them are that number, whose code is 8.
            return sign | static_cast<uint8_t>(rintf(size * 512.0f));
        }
        const uint32_t bits = __float_as_uint(size);
        const uint32_t rounded = bits + 0x7ffffu + (bits >> 20 & 1u);
        const uint8_t code = static_cast<uint8_t>((rounded >> 20) - (120u << 3));
        return sign | (code > 0x7e ? 0x7e : code);
    }

    __device__ static void store(const Row& row) {
        for (int i = row.lane; i < row.head_dim; i += WARP) {
            row.codes[row.first() + i] = code(row.x[i]);
        }
    }
};

struct StoreInt8 {
    __device__ static void store(const Row& row) {
        float most = 0.0f;
        for (int i = row.lane; i < row.head_dim; i += WARP) {
            most = fmaxf(most, fabsf(row.x[i]));
        }
        most = max_over(most, WARP);
        constexpr float SMALLEST = 1.17549435e-38f;
        float scale = most >= SMALLEST ? fmaxf(__fdiv_rn(most, 127.0f), SMALLEST) : 1.0f;
        // Rounded up, the largest scale there is would make the largest value infinite.
        if (!isfinite(__fmul_rn(127.0f, scale))) {
            scale = __uint_as_float(__float_as_uint(scale) - 1u);
        }
        for (int i = row.lane; i < row.head_dim; i += WARP) {
            const float code = fminf(fmaxf(roundf(__fdiv_rn(row.x[i], scale)), -128.0f), 127.0f);
            row.codes[row.first() + i] = static_cast<uint8_t>(static_cast<int8_t>(code));
        }
        if (row.lane == 0) {
            reinterpret_cast<float*>(row.scales)[row.head] = scale;
        }
    }
};

struct StoreQ8_0 {
    __device__ static void store(const Row& row) {
        for (int first = 0; first < row.head_dim; first += GROUP) {
            const float x = row.x[first + row.lane];
            const float d = within_half(__fdiv_rn(max_over(fabsf(x), WARP), 127.0f));
            const float code = fminf(fmaxf(roundf(__fmul_rn(x, inverse_of(d))), -127.0f), 127.0f);
            row.codes[row.first() + first + row.lane] = static_cast<uint8_t>(static_cast<int8_t>(code));
            if (row.lane == 0) {
                reinterpret_cast<__half*>(row.scales)[row.group(first)] = to_half(d);
            }
        }
    }
};

struct StoreQ4_0 {
    __device__ static void store(const Row& row) {
        for (int first = 0; first < row.head_dim; first += GROUP) {
            const float x = row.x[first + row.lane];
            // The value farthest from zero with its sign: of several, the first.
            const float most = max_over(fabsf(x), WARP);
            const float place = min_over(fabsf(x) == most ? static_cast<float>(row.lane) : 99.0f, WARP);
            const float with_sign = __shfl_sync(ALL_LANES, x, static_cast<int>(place) % WARP);
            // None of several zeros is farther than the others, whatever their signs.
            const float farthest = most > 0.0f ? with_sign : 0.0f;
            const float d = within_half(__fdiv_rn(farthest, -8.0f));
            const float code = fminf(fmaxf(__fadd_rn(__fmul_rn(x, inverse_of(d)), 8.5f), 0.0f), 15.0f);
            pack<4>(row.codes + (row.first() + first) / 2, row.lane, static_cast<uint32_t>(code));
            if (row.lane == 0) {
                reinterpret_cast<__half*>(row.scales)[row.group(first)] = to_half(d);
            }
        }
    }
};

// Minimum and step of a group as they are stored: codes are found with the rounded numbers.
struct Steps {
    __half minimum;
    __half step;

    template <int B>
    __device__ static __forceinline__ Steps between(float minimum, float maximum) {
        Steps steps;
        steps.minimum = to_half(minimum);
        const float range = fmaxf(__fadd_rn(maximum, -__half2float(steps.minimum)), 0.0f);
        steps.step = to_half(__fdiv_rn(range, static_cast<float>((1 << B) - 1)));
        return steps;
    }

    template <int B>
    __device__ __forceinline__ uint32_t code(float x) const {
        const float each = __half2float(step);
        const float steps = each > 0.0f ? __fdiv_rn(__fadd_rn(x, -__half2float(minimum)), each) : 0.0f;
        return static_cast<uint32_t>(fminf(fmaxf(rintf(steps), 0.0f), static_cast<float>((1 << B) - 1)));
    }
};

template <int B>
struct StoreAffine {
    __device__ static void store(const Row& row) {
        for (int first = 0; first < row.head_dim; first += GROUP) {
            const float x = row.x[first + row.lane];
            const Steps steps = Steps::between<B>(min_over(x, WARP), max_over(x, WARP));
            pack<B>(row.codes + (row.first() + first) * B / 8, row.lane, steps.code<B>(x));
            if (row.lane == 0) {
                __half* scales = reinterpret_cast<__half*>(row.scales) + row.group(first) * 2;
                scales[0] = steps.minimum;
                scales[1] = steps.step;
            }
        }
    }
};

// Grid (tokens, kv_heads), a warp each. `rows` names where each token goes; `x` is [...][...] with `token_stride` elements between tokens, of which
// `from` names those that are meant: null for all, one after the other.
template <class Store>
__device__ __forceinline__ void append(
    const float* x, int token_stride, const uint32_t* from, const uint32_t* rows, uint8_t* codes, uint8_t* scales, int head_dim,
    uint32_t* not_finite) {
    const int kv_head = blockIdx.y, n_kv_head = gridDim.y, token = blockIdx.x;
    const size_t source = from == nullptr ? token : from[token];
    const Row row = {
        x + source * token_stride + kv_head * head_dim, codes, scales, static_cast<size_t>(rows[token]) * n_kv_head + kv_head,
        head_dim, static_cast<int>(threadIdx.x),
    };
    for (int i = row.lane; i < head_dim; i += WARP) {
        check(row.x[i], static_cast<uint32_t>(source), not_finite);
    }
    Store::store(row);
}

// Grid (kv_heads, head_dim / 32), a warp each, a lane for each channel: the 32 exact rows `from` of one plane become the rows from `to` on of
// another, which 32 divides.
template <int B>
__device__ __forceinline__ void seal_channels(const float* exact, const uint32_t* from, uint32_t to, uint8_t* codes, uint8_t* scales) {
    const int kv_head = blockIdx.x, n_kv_head = gridDim.x, head_dim = gridDim.y * GROUP, lane = threadIdx.x;
    const int channel = kv_head * head_dim + blockIdx.y * GROUP + lane;
    const size_t width = static_cast<size_t>(n_kv_head) * head_dim;
    float minimum = INFINITY, maximum = -INFINITY;
    for (int token = 0; token < GROUP; token++) {
        const float x = exact[from[token] * width + channel];
        minimum = fminf(minimum, x);
        maximum = fmaxf(maximum, x);
    }
    const Steps steps = Steps::between<B>(minimum, maximum);
    __half* stored = reinterpret_cast<__half*>(scales) + (to / GROUP * width + channel) * 2;
    stored[0] = steps.minimum;
    stored[1] = steps.step;
    for (int token = 0; token < GROUP; token++) {
        const size_t first = (to + token) * width + channel - lane;
        pack<B>(codes + first * B / 8, lane, steps.code<B>(exact[from[token] * width + channel]));
    }
}

#define APPEND(name, store)                                                                                                      \
    extern "C" __global__ void __launch_bounds__(WARP) append_##name(                                                            \
        const float* x, int token_stride, const uint32_t* from, const uint32_t* rows, uint8_t* codes, uint8_t* scales,            \
        int head_dim, uint32_t* not_finite) {                                                                                     \
        append<store>(x, token_stride, from, rows, codes, scales, head_dim, not_finite);                                          \
    }                                                                                                                             \
    KERNEL(append_##name)

APPEND(f32, StoreF32)
APPEND(f16, StoreF16)
APPEND(bf16, StoreBf16)
APPEND(f8, StoreF8)
APPEND(int8, StoreInt8)
APPEND(q8_0, StoreQ8_0)
APPEND(q4_0, StoreQ4_0)
APPEND(affine2, StoreAffine<2>)
APPEND(affine4, StoreAffine<4>)
APPEND(affine8, StoreAffine<8>)

#define SEAL(bits)                                                                                                               \
    extern "C" __global__ void __launch_bounds__(WARP) seal_channels##bits(                                                      \
        const float* exact, const uint32_t* from, uint32_t to, uint8_t* codes, uint8_t* scales) {                                 \
        seal_channels<bits>(exact, from, to, codes, scales);                                                                      \
    }                                                                                                                             \
    KERNEL(seal_channels##bits)

SEAL(2)
SEAL(4)
SEAL(8)
