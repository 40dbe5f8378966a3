// The one function of cuBLAS that a model in f32 calls, and those of it and of cuRAND that open and close.
#include <cstdint>
#include <cstring>
#include <vector>

namespace {
enum Result { OK = 0, NOT_SUPPORTED = 15 };
constexpr int FLOAT = 0;
} // namespace

extern "C" int cublasCreate_v2(void** handle) {
    static int one;
    *handle = &one;
    return OK;
}
extern "C" int cublasDestroy_v2(void*) { return OK; }
extern "C" int cublasSetStream_v2(void*, void*) { return OK; }

// C = alpha op(A) op(B) + beta C, column by column, for each matrix of a batch.
extern "C" int cublasGemmStridedBatchedEx(
    void*, int turn_a, int turn_b, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda, long long a_stride, const void* b,
    int b_type, int ldb, long long b_stride, const void* beta, void* c, int c_type, int ldc, long long c_stride, int batch, int, int) {
    if (a_type != FLOAT || b_type != FLOAT || c_type != FLOAT) {
        return NOT_SUPPORTED;
    }
    float scale, kept;
    memcpy(&scale, alpha, sizeof scale), memcpy(&kept, beta, sizeof kept);
    std::vector<float> sums(static_cast<size_t>(m));
    for (int matrix = 0; matrix < batch; matrix++) {
        const float* of_a = static_cast<const float*>(a) + matrix * a_stride;
        const float* of_b = static_cast<const float*>(b) + matrix * b_stride;
        float* of_c = static_cast<float*>(c) + matrix * c_stride;
        for (int j = 0; j < n; j++) {
            sums.assign(static_cast<size_t>(m), 0.0f);
            if (turn_a) {
                for (int i = 0; i < m; i++) {
                    const float* row = of_a + static_cast<size_t>(i) * lda;
                    float sum = 0.0f;
                    for (int p = 0; p < k; p++) {
                        sum += row[p] * (turn_b ? of_b[static_cast<size_t>(p) * ldb + j] : of_b[static_cast<size_t>(j) * ldb + p]);
                    }
                    sums[static_cast<size_t>(i)] = sum;
                }
            } else {
                for (int p = 0; p < k; p++) {
                    const float x = turn_b ? of_b[static_cast<size_t>(p) * ldb + j] : of_b[static_cast<size_t>(j) * ldb + p];
                    const float* row = of_a + static_cast<size_t>(p) * lda;
                    for (int i = 0; i < m; i++) {
                        sums[static_cast<size_t>(i)] += row[i] * x;
                    }
                }
            }
            for (int i = 0; i < m; i++) {
                float& to = of_c[static_cast<size_t>(j) * ldc + i];
                to = scale * sums[static_cast<size_t>(i)] + (kept != 0.0f ? kept * to : 0.0f);
            }
        }
    }
    return OK;
}
