// What losses have in common. A loss is a sum over a batch: up to 256 blocks of 256 threads leave a part each, and `loss_total`
// adds them up. Sums are in f64 and their order follows from the sizes alone.

__device__ __forceinline__ bool is_ignored(uint32_t ignores, int ignored, float value) { return ignores && whole(value) == ignored; }

// What a thread found: a sum, how many places counted, and the first place whose label names no class.
struct Found {
    double sum;
    uint32_t counted, fault;
};

// What the block found, in thread 0. Blocks have 256 threads.
__device__ __forceinline__ Found of_block(Found found) {
    __shared__ Shared<uint32_t, 256> counts;
    __shared__ Shared<uint32_t, 256> places;
    counts[threadIdx.x] = found.counted;
    places[threadIdx.x] = found.fault;
    for (uint32_t half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            counts[threadIdx.x] += counts[threadIdx.x + half];
            const uint32_t own = places[threadIdx.x], other = places[threadIdx.x + half];
            places[threadIdx.x] = other < own ? other : own;
        }
    }
    const double sum = block_sum(found.sum);
    return {sum, counts[0], places[0]};
}

// Leaves a block's part.
__device__ __forceinline__ void leave(Found found, Global<double> sums, Global<uint32_t> counted, Global<uint32_t> faults) {
    const Found all = of_block(found);
    if (threadIdx.x != 0) return;
    sums[blockIdx.x] = all.sum;
    counted[blockIdx.x] = all.counted;
    faults[blockIdx.x] = all.fault;
}

// What a gradient is multiplied by: the loss's own over the divisor.
__device__ __forceinline__ float gradient_factor(Global<const float> dloss, Global<const uint32_t> totals) {
    return float(double(dloss[0]) / double(totals[0]));
}
