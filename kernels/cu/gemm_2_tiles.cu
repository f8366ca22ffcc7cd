// Version 2: a block of 32×8 threads computes 32×32 elements, and both operands come through shared memory, 32×32 at a time.
//
// Each float from global memory now serves 32 multiply-adds instead of one: 8 flops a byte. What limits it next is shared
// memory, from which a thread still reads five floats for four multiply-adds (README.md).

KERNEL(gemm_2_tiles, 256)(uint32_t m, uint32_t n, uint32_t k, Global<const float> a, Global<const float> b, Global<float> c) {
    __shared__ Shared<float, 32, 33> left;
    __shared__ Shared<float, 32, 33> right;
    const int x = threadIdx.x % 32, y = threadIdx.x / 32;
    const uint32_t row = blockIdx.y * 32, column = blockIdx.x * 32;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (uint32_t from = 0; from < k; from += 32) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const uint32_t line = y + i * 8;
            const bool in_a = row + line < m && from + x < k, in_b = from + line < k && column + x < n;
            left[line][x] = in_a ? a[size_t(row + line) * k + from + x] : 0.0f;
            right[line][x] = in_b ? b[size_t(from + line) * n + column + x] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < 32; ++step) {
            const float value = right[step][x];
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[i] += left[y + i * 8][step] * value;
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i) {
        if (row + y + i * 8 < m && column + x < n) c[size_t(row + y + i * 8) * n + column + x] = sums[i];
    }
}
