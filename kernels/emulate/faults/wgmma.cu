// Kernels with one fault each in how they wait for sm_90a's products: the emulator must name it.

// Both operands, 128 rows or columns of 8 steps: the upper 64 rows are the left one.
typedef Shared<float, 2, 512> Operands;

__device__ __forceinline__ void fill(Operands& operands, uint32_t count, Global<const float> x) {
    for (int i = threadIdx.x; i < 1024; i += 256) operands[i / 512][i % 512] = x[i % count];
}

__device__ __forceinline__ void multiply(WgmmaSums& sums, Operands& operands) {
    wgmma_tf32(sums, wgmma_operand(operands, 0, 0), wgmma_operand(operands, 0, 0));
    wgmma_commit();
}

// The sums are read while they are computed.
KERNEL(sums_not_waited_for, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Operands operands;
    fill(operands, count, x);
    async_fence();
    __syncthreads();
    WgmmaSums sums;
    sums.clear();
    wgmma_fence(sums);
    multiply(sums, operands);
    if (first() < count) y[first()] = sums[0];
    wgmma_wait<0>(sums);
}

// The product may see the sums as they were before they were cleared.
KERNEL(missing_wgmma_fence, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Operands operands;
    fill(operands, count, x);
    async_fence();
    __syncthreads();
    WgmmaSums sums;
    sums.clear();
    multiply(sums, operands);
    wgmma_wait<0>(sums);
    if (first() < count) y[first()] = sums[0];
}

// The product may see shared memory as it was before it was filled.
KERNEL(missing_async_fence, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Operands operands;
    fill(operands, count, x);
    __syncthreads();
    WgmmaSums sums;
    sums.clear();
    wgmma_fence(sums);
    multiply(sums, operands);
    wgmma_wait<0>(sums);
    if (first() < count) y[first()] = sums[0];
}

// An operand is filled again before it is known to have been read.
KERNEL(overwritten_operand, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Operands operands;
    fill(operands, count, x);
    async_fence();
    __syncthreads();
    WgmmaSums sums;
    sums.clear();
    wgmma_fence(sums);
    multiply(sums, operands);
    __syncthreads();
    fill(operands, count, x);
    wgmma_wait<0>(sums);
    if (first() < count) y[first()] = sums[0];
}

// Nobody waits at all.
KERNEL(products_not_waited_for, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Operands operands;
    fill(operands, count, x);
    async_fence();
    __syncthreads();
    WgmmaSums sums;
    sums.clear();
    wgmma_fence(sums);
    multiply(sums, operands);
    if (first() < count) y[first()] = 0.0f;
}
