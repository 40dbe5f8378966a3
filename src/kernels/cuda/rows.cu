// Moving rows and picking tokens.
#include "common.cuh"

// A run of rows that a fork needs of its own.
struct Copy {
    uint32_t from;
    uint32_t to;
    uint32_t n_rows;
};

// Grid (blocks, copies): the bytes of the rows of one plane, a word at a time; `row_words` words are a row.
template <class Word>
__device__ __forceinline__ void copy_rows(uint8_t* plane, const Copy* copies, uint32_t row_words) {
    const Copy copy = copies[blockIdx.y];
    Word* words = reinterpret_cast<Word*>(plane);
    const size_t from = static_cast<size_t>(copy.from) * row_words, to = static_cast<size_t>(copy.to) * row_words;
    const size_t n_words = static_cast<size_t>(copy.n_rows) * row_words;
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < n_words; i += static_cast<size_t>(gridDim.x) * blockDim.x) {
        words[to + i] = words[from + i];
    }
}

extern "C" __global__ void copy_rows_16(uint8_t* plane, const Copy* copies, uint32_t row_words) {
    copy_rows<uint4>(plane, copies, row_words);
}
KERNEL(copy_rows_16)

extern "C" __global__ void copy_rows_2(uint8_t* plane, const Copy* copies, uint32_t row_words) {
    copy_rows<uint16_t>(plane, copies, row_words);
}
KERNEL(copy_rows_2)

// Grid (rows), any number of warps up to 32: the place of the largest of `n` values of each row, of several the first, what is no number
// left out; 0xffffffff where there is none. Shared memory: two words a warp.
extern "C" __global__ void argmax(const float* x, int n, uint32_t* places) {
    const float* row = x + static_cast<size_t>(blockIdx.x) * n;
    float largest = -INFINITY;
    uint32_t place = 0xffffffffu;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        if (row[i] > largest || (place == 0xffffffffu && row[i] == row[i])) {
            largest = row[i];
            place = i;
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
            if (other_place != 0xffffffffu && (place == 0xffffffffu || other > largest || (other == largest && other_place < place))) {
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
            place = lane < n_warps ? found[lane] : 0xffffffffu;
        }
    }
    if (threadIdx.x == 0) {
        places[blockIdx.x] = place;
    }
}
KERNEL(argmax)
