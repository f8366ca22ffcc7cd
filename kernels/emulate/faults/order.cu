// Kernels with one fault each in how threads wait for each other: the emulator must name it.

// Nobody waits for the tile to be full.
KERNEL(missing_barrier, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Shared<float, 256> tile;
    const uint32_t i = first();
    tile[threadIdx.x] = i < count ? x[i] : 0.0f;
    if (i < count) y[i] = tile[255 - threadIdx.x];
}

// The tile is filled again while others still read it.
KERNEL(missing_second_barrier, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Shared<float, 256> tile;
    const uint32_t i = first();
    for (int turn = 0; turn < 2; ++turn) {
        tile[threadIdx.x] = i < count ? x[i] : 0.0f;
        __syncthreads();
        if (i < count) y[i] = tile[255 - threadIdx.x];
    }
}

// Every thread adds to one float.
KERNEL(race_in_block, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    if (first() < count) y[0] += x[first()];
}

// The first thread of every block adds to one float.
KERNEL(race_of_blocks, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    if (threadIdx.x == 0 && first() < count) y[0] += x[first()];
}

// A block reads what another block writes, in whatever order.
KERNEL(read_from_other_block, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    const uint32_t i = first();
    if (i < count) y[i] = x[i] + y[(i + 256) % count];
}

// Threads past the end leave before the barrier.
KERNEL(missed_barrier, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    const uint32_t i = first();
    if (i >= count) return;
    y[i] = x[i];
    __syncthreads();
}

// Both halves wait, each at a barrier of its own.
KERNEL(two_barriers, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    const uint32_t i = first();
    if (i < count) y[i] = x[i];
    if (threadIdx.x < 128) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

// Half of each warp does not come to the shuffle.
KERNEL(missed_shuffle, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    const uint32_t i = first();
    float value = i < count ? x[i] : 0.0f;
    if (threadIdx.x % 32 < 16) value += __shfl_xor_sync(0xffffffffu, value, 1);
    if (i < count) y[i] = value;
}

// The copy may not have arrived yet.
KERNEL(copy_not_waited_for, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Shared<float, 256> tile;
    const uint32_t i = first();
    copy_async(tile, threadIdx.x, x, i, i < count);
    copy_async_commit();
    __syncthreads();
    if (i < count) y[i] = tile[threadIdx.x];
    copy_async_wait<0>();
}
