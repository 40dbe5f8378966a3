// The attention walk: queries read the rows of their sequences, quantized as they lie, with an online softmax.
//
// A sequence is a list of rows, one entry for each token that is still there, in the order of their positions: what a block table says, token by
// token, so that any block length, evicted tokens and forks are all the same to the kernels. A query sees the first `n_visible` of them. It is
// decode and prefill in one: a decoded token is one query, a prompt's chunk as many as it has tokens.
//
// The tokens of a query are split over blocks (split-K, as Flash-Decoding does), these over groups of lanes: as many lanes as a row has octets, so
// that a warp reads four rows of 64 channels at a time, each with loads of 16 bytes where the format has as many. What each learned is brought
// together lane by lane, warp by warp, and by `merge` block by block.
#pragma once

#include "formats.cuh"

constexpr int WALK_WARPS = 4;

struct WalkShape {
    int n_head;
    int n_kv_head;
    int head_dim;
    // 1 / sqrt(head_dim)
    float scale;
};

// The keys and values of a layer: of the pool, and those that are not quantized yet (f32), where a format keeps some.
struct Layer {
    Plane keys;
    Plane values;
    Plane exact_keys;
    Plane exact_values;
};

// Where the result goes: of a query's only split `out` [query][n_head][head_dim]; of several, partial sums [query][n_head][split][head_dim] and
// their [largest, total]. `stats` [query][n_head][2] and `scores` [query][n_head][scores_stride] are wanted where weights are.
struct WalkOut {
    float* out;
    float* partial_sums;
    float* partial_stats;
    float* stats;
    float* scores;
    int scores_stride;
};

// Lanes for a row of D channels; of 0, which stands for any, a whole warp.
template <int D>
struct Lanes {
    static constexpr int COUNT = D == 0 ? WARP : D / OCTET;
};

// Eight sums of a lane and what they are relative to.
struct Sums {
    Softmax softmax;
    float x[OCTET] = {};

    __device__ __forceinline__ void add(const Sums& other) {
        const float largest = fmaxf(softmax.largest, other.softmax.largest);
        const float own = share(softmax.largest, largest), others = share(other.softmax.largest, largest);
        softmax.total = softmax.total * own + other.softmax.total * others;
        softmax.largest = largest;
        for (int i = 0; i < OCTET; i++) {
            x[i] = x[i] * own + other.x[i] * others;
        }
    }

    // Of all lanes whose numbers differ in the bits from `first` on.
    __device__ __forceinline__ void add_lanes(int first) {
        for (int distance = first; distance < WARP; distance *= 2) {
            Sums other;
            other.softmax.largest = __shfl_xor_sync(ALL_LANES, softmax.largest, distance);
            other.softmax.total = __shfl_xor_sync(ALL_LANES, softmax.total, distance);
            for (int i = 0; i < OCTET; i++) {
                other.x[i] = __shfl_xor_sync(ALL_LANES, x[i], distance);
            }
            add(other);
        }
    }
};

// The rows of one token: of the pool, or the exact ones.
template <class Keys, class Values, bool RING>
__device__ __forceinline__ void read_token(
    const Layer& layer, uint32_t row, Place& at, int channel, float (&key)[OCTET], float (&value)[OCTET]) {
    at.row = row & ~EXACT;
    if (RING && (row & EXACT)) {
        F32::read(layer.exact_keys, at, channel, key);
        F32::read(layer.exact_values, at, channel, value);
    } else {
        Keys::read(layer.keys, at, channel, key);
        Values::read(layer.values, at, channel, value);
    }
}

// Grid (n_head, n_splits, queries), WALK_WARPS warps; shared memory: WALK_WARPS * (head_dim + 2) floats.
template <class Keys, class Values, int D, bool RING>
__device__ __forceinline__ void walk(
    const float* q, int q_stride, const Layer& layer, const uint32_t* rows, const Query* queries, const WalkShape& shape,
    const WalkOut& out) {
    constexpr int LANES = Lanes<D>::COUNT;
    constexpr int GROUPS = WALK_WARPS * WARP / LANES;
    const int head = blockIdx.x, n_splits = gridDim.y, split = blockIdx.y, query = blockIdx.z;
    const int head_dim = D == 0 ? shape.head_dim : D;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int group = threadIdx.x / LANES, channel = lane % LANES * OCTET;
    const bool has_channels = channel < head_dim;

    const int n_visible = queries[query].n_visible;
    const uint32_t* seen = rows + queries[query].first_row;
    const int each = (n_visible + n_splits - 1) / n_splits;
    const int start = min(split * each, n_visible), end = min(start + each, n_visible);

    float scaled[OCTET] = {};
    if (has_channels) {
        const float* x = q + static_cast<size_t>(query) * q_stride + head * head_dim + channel;
        for (int i = 0; i < OCTET; i++) {
            scaled[i] = x[i] * shape.scale;
        }
    }
    Place at = {0, shape.n_kv_head, head / (shape.n_head / shape.n_kv_head), head_dim};
    Sums sums;
    // All lanes go round as often, since they add up scores together.
    for (int first = start; first < end; first += GROUPS) {
        const int token = first + group;
        const bool is_there = token < end;
        float key[OCTET] = {}, value[OCTET] = {}, score = 0.0f;
        if (is_there && has_channels) {
            read_token<Keys, Values, RING>(layer, seen[token], at, channel, key, value);
        }
        for (int i = 0; i < OCTET; i++) {
            score += scaled[i] * key[i];
        }
        score = sum_over(score, LANES);
        if (is_there) {
            float weight;
            const float kept = sums.softmax.take(score, weight);
            for (int i = 0; i < OCTET; i++) {
                sums.x[i] = sums.x[i] * kept + value[i] * weight;
            }
            if (out.scores != nullptr && lane % LANES == 0) {
                const size_t row = static_cast<size_t>(query) * shape.n_head + head;
                out.scores[row * out.scores_stride + token] = score;
            }
        }
    }
    sums.add_lanes(LANES);

    SHARED_MEMORY(memory);
    float* warps = reinterpret_cast<float*>(memory); // [warp][head_dim + 2]
    const int width = head_dim + 2;
    if (lane < LANES && has_channels) {
        for (int i = 0; i < OCTET; i++) {
            warps[warp * width + channel + i] = sums.x[i];
        }
    }
    if (lane == 0) {
        warps[warp * width + head_dim] = sums.softmax.largest;
        warps[warp * width + head_dim + 1] = sums.softmax.total;
    }
    __syncthreads();

    float largest = -INFINITY, total = 0.0f;
    for (int i = 0; i < WALK_WARPS; i++) {
        largest = fmaxf(largest, warps[i * width + head_dim]);
    }
    for (int i = 0; i < WALK_WARPS; i++) {
        total += warps[i * width + head_dim + 1] * share(warps[i * width + head_dim], largest);
    }
    const size_t result = static_cast<size_t>(query) * shape.n_head + head, partial = result * n_splits + split;
    for (int c = threadIdx.x; c < head_dim; c += WALK_WARPS * WARP) {
        float sum = 0.0f;
        for (int i = 0; i < WALK_WARPS; i++) {
            sum += warps[i * width + c] * share(warps[i * width + head_dim], largest);
        }
        if (n_splits == 1) {
            out.out[result * head_dim + c] = mean(sum, total);
        } else {
            out.partial_sums[partial * head_dim + c] = sum;
        }
    }
    float* stats = n_splits > 1 ? out.partial_stats + partial * 2 : out.stats == nullptr ? nullptr : out.stats + result * 2;
    if (threadIdx.x == 0 && stats != nullptr) {
        stats[0] = largest;
        stats[1] = total;
    }
}
