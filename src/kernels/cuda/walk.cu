// The walk in each format, and what brings its parts together.
#include "walk.cuh"

#define WALK(name, keys, values, d, dim, ring)                                                                                   \
    extern "C" __global__ void __launch_bounds__(WALK_WARPS * WARP) walk_##name##_##d(                                           \
        const float* q, int q_stride, const Layer layer, const uint32_t* rows, const Query* queries, const WalkShape shape,       \
        const WalkOut out) {                                                                                                      \
        walk<keys, values, dim, ring>(q, q_stride, layer, rows, queries, shape, out);                                             \
    }                                                                                                                             \
    KERNEL(walk_##name##_##d)

// Two widths by themselves, and any.
#define WALKS(name, keys, values, ring)                                                                                          \
    WALK(name, keys, values, d64, 64, ring)                                                                                      \
    WALK(name, keys, values, d128, 128, ring)                                                                                    \
    WALK(name, keys, values, any, 0, ring)

WALKS(f32, F32, F32, false)
WALKS(f16, F16, F16, false)
WALKS(bf16, Bf16, Bf16, false)
WALKS(f8, F8, F8, false)
WALKS(int8, Int8, Int8, false)
WALKS(q8_0, Q8_0, Q8_0, false)
WALKS(q4_0, Q4_0, Q4_0, false)
WALKS(int4, Affine<4>, Affine<4>, false)
WALKS(kivi2, Channels<2>, Affine<2>, true)
WALKS(kivi4, Channels<4>, Affine<4>, true)
WALKS(kivi8, Channels<8>, Affine<8>, true)

// Grid (queries, n_head): the splits of a query become its result.
extern "C" __global__ void merge(
    const float* partial_sums, const float* partial_stats, int n_splits, int head_dim, float* out, float* stats) {
    const size_t result = static_cast<size_t>(blockIdx.x) * gridDim.y + blockIdx.y;
    const float* sums = partial_sums + result * n_splits * head_dim;
    const float* of = partial_stats + result * n_splits * 2;
    float largest = -INFINITY, total = 0.0f;
    for (int split = 0; split < n_splits; split++) {
        largest = fmaxf(largest, of[2 * split]);
    }
    for (int split = 0; split < n_splits; split++) {
        total += of[2 * split + 1] * share(of[2 * split], largest);
    }
    for (int c = threadIdx.x; c < head_dim; c += blockDim.x) {
        float sum = 0.0f;
        for (int split = 0; split < n_splits; split++) {
            sum += sums[split * head_dim + c] * share(of[2 * split], largest);
        }
        out[result * head_dim + c] = mean(sum, total);
    }
    if (threadIdx.x == 0 && stats != nullptr) {
        stats[2 * result] = largest;
        stats[2 * result + 1] = total;
    }
}
KERNEL(merge)

// Grid (queries, n_head): scores [query][n_head][stride] become attention weights in place, 0 where a query sees nothing.
extern "C" __global__ void weights(float* scores, int stride, const float* stats, const Query* queries) {
    const size_t row = static_cast<size_t>(blockIdx.x) * gridDim.y + blockIdx.y;
    const int n_visible = queries[blockIdx.x].n_visible;
    float* weights = scores + row * stride;
    for (int token = threadIdx.x; token < stride; token += blockDim.x) {
        weights[token] = token < n_visible ? expf(weights[token] - stats[2 * row]) / stats[2 * row + 1] : 0.0f;
    }
}
KERNEL(weights)

// Grid (tokens / 128): what each token got of the queries' attention over all heads, added to what it had. One thread a token, so the order of
// additions is fixed.
extern "C" __global__ void add_scores(const float* weights, int stride, int n_rows, int n_tokens, float* sums) {
    const int token = blockIdx.x * blockDim.x + threadIdx.x;
    if (token >= n_tokens) {
        return;
    }
    float sum = 0.0f;
    for (int row = 0; row < n_rows; row++) {
        sum += weights[static_cast<size_t>(row) * stride + token];
    }
    sums[token] += sum;
}
KERNEL(add_scores)
