// Version 1: a thread computes one element of C = A · B, reading both operands from global memory.
//
// For each multiply-add it reads 8 bytes: 0.25 flops a byte (README.md).

KERNEL(gemm_1_naive, 256)(uint32_t m, uint32_t n, uint32_t k, Global<const float> a, Global<const float> b, Global<float> c) {
    const uint32_t row = blockIdx.y * 16 + threadIdx.x / 16, column = blockIdx.x * 16 + threadIdx.x % 16;
    if (row >= m || column >= n) return;
    float sum = 0.0f;
    for (uint32_t i = 0; i < k; ++i) sum += a[size_t(row) * k + i] * b[size_t(i) * n + column];
    c[size_t(row) * n + column] = sum;
}
