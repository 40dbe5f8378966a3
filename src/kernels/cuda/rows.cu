// Moving rows and picking tokens.
#include "common.cuh"

// A run of rows of one plane that become rows of another, or of the same.
struct Copy {
    uint32_t from;
    uint32_t to;
    uint32_t n_rows;
};

// Grid (blocks, copies): the bytes of rows, a word at a time; `row_words` words are a row.
template <class Word>
__device__ __forceinline__ void copy_rows(const uint8_t* source, uint8_t* target, const Copy* copies, uint32_t row_words) {
    const Copy copy = copies[blockIdx.y];
    const Word* read = reinterpret_cast<const Word*>(source);
    Word* written = reinterpret_cast<Word*>(target);
    const size_t from = static_cast<size_t>(copy.from) * row_words, to = static_cast<size_t>(copy.to) * row_words;
    const size_t n_words = static_cast<size_t>(copy.n_rows) * row_words;
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < n_words; i += static_cast<size_t>(gridDim.x) * blockDim.x) {
        written[to + i] = read[from + i];
    }
}

extern "C" __global__ void copy_rows_16(const uint8_t* source, uint8_t* target, const Copy* copies, uint32_t row_words) {
    copy_rows<uint4>(source, target, copies, row_words);
}
KERNEL(copy_rows_16)

extern "C" __global__ void copy_rows_2(const uint8_t* source, uint8_t* target, const Copy* copies, uint32_t row_words) {
    copy_rows<uint16_t>(source, target, copies, row_words);
}
KERNEL(copy_rows_2)

// Grid (tokens, heads), a warp each; shared memory: head_dim floats. `x` is [token][head][head_dim] with `token_stride` elements between tokens; `out`
// the same without gaps, each row rotated by the Walsh-Hadamard matrix (src/kernels/hadamard.rs, bit for bit).
extern "C" __global__ void __launch_bounds__(WARP) rotate(const float* x, int token_stride, int head_dim, float* out) {
    const int block = head_dim & -head_dim, head = blockIdx.y, n_heads = gridDim.y;
    const size_t token = blockIdx.x;
    SHARED_MEMORY(memory);
    float* row = reinterpret_cast<float*>(memory);
    const float scale = __fdiv_rn(1.0f, sqrtf(static_cast<float>(block)));
    for (int i = threadIdx.x; i < head_dim; i += WARP) {
        row[i] = __fmul_rn(x[token * token_stride + head * head_dim + i], scale);
    }
    __syncthreads();
    for (int half = 1; half < block; half *= 2) {
        for (int pair = threadIdx.x; pair < head_dim / 2; pair += WARP) {
            const int low = pair / half * 2 * half + pair % half;
            const float a = row[low], b = row[low + half];
            row[low] = __fadd_rn(a, b);
            row[low + half] = __fadd_rn(a, -b);
        }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < head_dim; i += WARP) {
        out[(token * n_heads + head) * head_dim + i] = row[i];
    }
}
KERNEL(rotate)

// A place that no row has: nothing was looked at, and a value was no number.
constexpr uint32_t NONE = 0xffffffffu;
constexpr uint32_t NO_NUMBER = 0xfffffffeu;

// Of two places the better one's.
__device__ __forceinline__ bool is_better(float other, uint32_t other_place, float largest, uint32_t place) {
    if (place == NO_NUMBER || other_place == NONE) {
        return false;
    }
    return other_place == NO_NUMBER || place == NONE || other > largest || (other == largest && other_place < place);
}

// Grid (rows), any number of warps up to 32: the place of the largest of `n` values of each row, of several the first; 0xfffffffe where one is no
// number. Shared memory: two words a warp.
extern "C" __global__ void argmax(const float* x, int n, uint32_t* places) {
    const float* row = x + static_cast<size_t>(blockIdx.x) * n;
    float largest = -INFINITY;
    uint32_t place = NONE;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const uint32_t here = isnan(row[i]) ? NO_NUMBER : i;
        if (is_better(row[i], here, largest, place)) {
            largest = row[i];
            place = here;
        }
    }
    SHARED_MEMORY(memory);
    float* values = reinterpret_cast<float*>(memory);
    const int n_warps = blockDim.x / WARP, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    uint32_t* found = reinterpret_cast<uint32_t*>(values + n_warps);
    for (int round = 0; round < 2; round++) {
        for (int distance = WARP / 2; distance > 0; distance /= 2) {
            const float other = __shfl_xor_sync(ALL_LANES, largest, distance);
            const uint32_t other_place = __shfl_xor_sync(ALL_LANES, place, distance);
            if (is_better(other, other_place, largest, place)) {
                largest = other;
                place = other_place;
            }
        }
        if (round == 0) {
            if (lane == 0) {
                values[warp] = largest;
                found[warp] = place;
            }
            __syncthreads();
            largest = lane < n_warps ? values[lane] : -INFINITY;
            place = lane < n_warps ? found[lane] : NONE;
        }
    }
    if (threadIdx.x == 0) {
        places[blockIdx.x] = place;
    }
}
KERNEL(argmax)
