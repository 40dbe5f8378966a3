// The walk for the many queries of a prompt: a block takes eight of them and one head, and decodes each tile of 32 rows once for all.
#include "walk.cuh"

constexpr int TILE_QUERIES = 8;
constexpr int TILE_TOKENS = WARP;
constexpr int QUERIES_EACH = TILE_QUERIES / WALK_WARPS;
// Channels of a lane, for a head_dim of 256.
constexpr int MOST_CHANNELS = 256 / WARP;

// Rows of a tile lie a word further apart than they are long, so that 32 lanes that read a channel each of another row do not get in each
// other's way.
__device__ __forceinline__ int tile_stride(int head_dim) { return head_dim + 1; }

// Reads keys (or values) of the tile that begins with token `first`.
template <class Format, bool RING>
__device__ __forceinline__ void read_tile(
    const Plane& plane, const Plane& exact, const uint32_t* seen, int first, int n_visible, Place at, float* tile) {
    const int octets = at.head_dim / OCTET;
    for (int i = threadIdx.x; i < TILE_TOKENS * octets; i += WALK_WARPS * WARP) {
        const int token = i / octets, channel = i % octets * OCTET;
        float x[OCTET] = {};
        if (first + token < n_visible) {
            const uint32_t row = seen[first + token];
            at.row = row & ~EXACT;
            if (RING && (row & EXACT)) {
                F32::read(exact, at, channel, x);
            } else {
                Format::read(plane, at, channel, x);
            }
        }
        for (int j = 0; j < OCTET; j++) {
            tile[token * tile_stride(at.head_dim) + channel + j] = x[j];
        }
    }
}

// Grid (n_head, n_queries / 8 rounded up), WALK_WARPS warps; shared memory: 8 * head_dim + 32 * (head_dim + 1) floats. All queries are of one sequence,
// in the order of their positions.
template <class Keys, class Values, bool RING>
__device__ __forceinline__ void prefill(
    const float* q, int q_stride, int n_queries, const Layer& layer, const uint32_t* rows, const Query* queries, const WalkShape& shape,
    const WalkOut& out) {
    const int head = blockIdx.x, first_query = blockIdx.y * TILE_QUERIES, head_dim = shape.head_dim;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int last_query = min(first_query + TILE_QUERIES, n_queries) - 1;
    const uint32_t* seen = rows + queries[first_query].first_row;
    const int n_visible = queries[last_query].n_visible;
    const Place at = {0, shape.n_kv_head, head / (shape.n_head / shape.n_kv_head), head_dim};

    SHARED_MEMORY(memory);
    float* scaled = reinterpret_cast<float*>(memory); // [query][head_dim]
    float* tile = scaled + TILE_QUERIES * head_dim;   // [token][tile_stride]
    for (int i = threadIdx.x; i < TILE_QUERIES * head_dim; i += WALK_WARPS * WARP) {
        const int query = min(first_query + i / head_dim, last_query);
        scaled[i] = q[static_cast<size_t>(query) * q_stride + head * head_dim + i % head_dim] * shape.scale;
    }
    Softmax known[QUERIES_EACH];
    float sums[QUERIES_EACH][MOST_CHANNELS] = {};
    for (int first = 0; first < n_visible; first += TILE_TOKENS) {
        // Nobody still reads the values of the tile before.
        __syncthreads();
        read_tile<Keys, RING>(layer.keys, layer.exact_keys, seen, first, n_visible, at, tile);
        __syncthreads();
        float weight[QUERIES_EACH], kept[QUERIES_EACH];
        for (int i = 0; i < QUERIES_EACH; i++) {
            const int in_tile = warp * QUERIES_EACH + i, query = min(first_query + in_tile, last_query);
            float score = 0.0f;
            for (int c = 0; c < head_dim; c++) {
                score += scaled[in_tile * head_dim + c] * tile[lane * tile_stride(head_dim) + c];
            }
            const bool is_seen = first + lane < static_cast<int>(queries[query].n_visible);
            const float before = known[i].largest;
            known[i].largest = fmaxf(before, max_over(is_seen ? score : -INFINITY, WARP));
            kept[i] = before == known[i].largest ? 1.0f : expf(before - known[i].largest);
            weight[i] = is_seen ? expf(score - known[i].largest) : 0.0f;
            known[i].total = known[i].total * kept[i] + sum_over(weight[i], WARP);
            if (out.scores != nullptr && is_seen && first_query + in_tile <= last_query) {
                out.scores[(static_cast<size_t>(query) * shape.n_head + head) * out.scores_stride + first + lane] = score;
            }
        }
        __syncthreads();
        read_tile<Values, RING>(layer.values, layer.exact_values, seen, first, n_visible, at, tile);
        __syncthreads();
        for (int i = 0; i < QUERIES_EACH; i++) {
            for (int c = 0; c < MOST_CHANNELS; c++) {
                sums[i][c] *= kept[i];
            }
            for (int token = 0; token < TILE_TOKENS; token++) {
                const float of_token = __shfl_sync(ALL_LANES, weight[i], token);
                for (int c = 0; c < MOST_CHANNELS; c++) {
                    const int channel = lane + c * WARP;
                    if (channel < head_dim) {
                        sums[i][c] += of_token * tile[token * tile_stride(head_dim) + channel];
                    }
                }
            }
        }
    }
    for (int i = 0; i < QUERIES_EACH; i++) {
        const int query = first_query + warp * QUERIES_EACH + i;
        if (query > last_query) {
            continue;
        }
        const size_t result = static_cast<size_t>(query) * shape.n_head + head;
        for (int c = 0; c < MOST_CHANNELS; c++) {
            const int channel = lane + c * WARP;
            if (channel < head_dim) {
                out.out[result * head_dim + channel] = mean(sums[i][c], known[i].total);
            }
        }
        if (lane == 0 && out.stats != nullptr) {
            out.stats[2 * result] = known[i].largest;
            out.stats[2 * result + 1] = known[i].total;
        }
    }
}

#define PREFILL(name, keys, values, ring)                                                                                        \
    extern "C" __global__ void __launch_bounds__(WALK_WARPS * WARP, 4) prefill_##name(                                              \
        const float* q, int q_stride, int n_queries, const Layer layer, const uint32_t* rows, const Query* queries,               \
        const WalkShape shape, const WalkOut out) {                                                                               \
        prefill<keys, values, ring>(q, q_stride, n_queries, layer, rows, queries, shape, out);                                    \
    }                                                                                                                             \
    KERNEL(prefill_##name)

PREFILL(f32, F32, F32, false)
PREFILL(f16, F16, F16, false)
PREFILL(bf16, Bf16, Bf16, false)
PREFILL(f8, F8, F8, false)
PREFILL(int8, Int8, Int8, false)
PREFILL(q8_0, Q8_0, Q8_0, false)
PREFILL(q4_0, Q4_0, Q4_0, false)
PREFILL(int4, Affine<4>, Affine<4>, false)
PREFILL(kivi2, Channels<2>, Affine<2>, true)
PREFILL(kivi4, Channels<4>, Affine<4>, true)
PREFILL(kivi8, Channels<8>, Affine<8>, true)
