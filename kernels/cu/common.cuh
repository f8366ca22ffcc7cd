// What several kernels need: the crate's geometry structs as C lays them out, and sums over a block.

constexpr int MAX_SPATIAL = 6;
constexpr int MAX_AXES = 8;
constexpr int MAX_INPUTS = 32;

struct Axis {
    uint32_t outer, axis, inner;
};

struct Rows {
    uint32_t rows, length;
};

// Which elements a thread works on, when there is one after the other: `for (uint32_t i = first(); i < count; i += step())`.
__device__ __forceinline__ uint32_t first() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ __forceinline__ uint32_t step() { return gridDim.x * blockDim.x; }

// The sum of every thread's value, given to all of them. The order is fixed by the block's size alone: first within warps,
// then over warps. All threads of the block must come; there are whole warps of them.
template <class T>
__device__ __forceinline__ T block_sum(T value) {
    __shared__ Shared<T, 32> parts;
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    const int warps = blockDim.x / 32;
    if (warps == 1) return value;
    // Whoever still reads the last sum must be done.
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    T sum = 0;
    for (int warp = 0; warp < warps; ++warp) sum += parts[warp];
    return sum;
}

// Adds a thread's share of sums over `count` places to `totals`: `add(i, runs)` adds what place i has. Runs of sixteen places
// are in f32, which any GPU adds up faster than it reads, and the runs in f64, so that little is lost where a sum nearly cancels.
template <int SUMS, class ADD>
__device__ __forceinline__ void add_share(uint32_t count, double (&totals)[SUMS], ADD add) {
    constexpr uint32_t RUN = 16;
    uint32_t i = threadIdx.x;
    for (uint32_t runs = count / (RUN * blockDim.x) + 1; runs > 0; --runs) {
        float sums[SUMS] = {};
        // Of the last run there is a part.
        if (runs > 1) {
#pragma unroll 4
            for (uint32_t k = 0; k < RUN; ++k, i += blockDim.x) add(i, sums);
        } else {
            for (; i < count; i += blockDim.x) add(i, sums);
        }
        for (int sum = 0; sum < SUMS; ++sum) totals[sum] += sums[sum];
    }
}

// The largest of every thread's value, given to all of them.
__device__ __forceinline__ float block_max(float value) {
    __shared__ Shared<float, 32> parts;
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, value, lanes);
        value = other > value ? other : value;
    }
    const int warps = blockDim.x / 32;
    if (warps == 1) return value;
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    float largest = parts[0];
    for (int warp = 1; warp < warps; ++warp) {
        const float other = parts[warp];
        largest = other > largest ? other : largest;
    }
    return largest;
}

// Not with its shortcuts: as the processor computes it.
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// max(x, 0) + slope · min(x, 0).
__device__ __forceinline__ float leaky_relu(float slope, float x) { return x < 0.0f ? slope * x : x; }

// Not a number stays one.
__device__ __forceinline__ float clip(float low, float high, float x) {
    const float limited = x > high ? high : x;
    return limited < low ? low : limited;
}
