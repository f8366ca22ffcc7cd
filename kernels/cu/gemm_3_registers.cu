// Version 3: a block of 256 threads computes 128×128 elements, each thread 8×8 of them in registers.
//
// For 64 multiply-adds a thread reads 16 floats of shared memory, in four loads of 16 bytes, instead of 80; and each float
// from global memory serves 128 multiply-adds: 32 flops a byte. What is left: the arithmetic waits while a slice comes in, which
// gemm.cu ends by fetching the next one meanwhile (README.md).

KERNEL(gemm_3_registers, 256, 2)
(uint32_t m, uint32_t n, uint32_t k, Global<const float> a, Global<const float> b, Global<float> c) {
    typedef Plain<8, 8> Tile;
    __shared__ Tile::Memory memory;
    const uint32_t row = blockIdx.y * 128, column = blockIdx.x * 128;
    Tile tile;
    tile.clear();
    for (uint32_t from = 0; from < k; from += Tile::DEPTH) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int number = threadIdx.x + i * 256;
            const int a_row = number / 8, a_step = number % 8, b_step = number / 128, b_column = number % 128;
            const bool in_a = row + a_row < m && from + a_step < k, in_b = from + b_step < k && column + b_column < n;
            memory.a[0][a_step][a_row] = in_a ? a[size_t(row + a_row) * k + from + a_step] : 0.0f;
            memory.b[0][b_step][b_column] = in_b ? b[size_t(from + b_step) * n + column + b_column] : 0.0f;
        }
        __syncthreads();
        tile.multiply(memory, 0);
        __syncthreads();
    }
    tile.each([&](int i, int j, float sum) {
        if (row + i < m && column + j < n) c[size_t(row + i) * n + column + j] = sum;
    });
}
