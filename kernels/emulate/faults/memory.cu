// Kernels with one fault each in what they read or write: the emulator must name it.

// The last thread stores one past the end.
KERNEL(off_by_one, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i <= count; i += step()) y[i] = x[i < count ? i : 0];
}

// The first thread reads before the beginning.
KERNEL(before_the_beginning, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] = x[size_t(i) - 1];
}

// What does not fill a block is left out.
KERNEL(unwritten_tail, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    if (first() < count / blockDim.x * blockDim.x) y[first()] = x[first()];
}

// Takes its input for an output.
KERNEL(overwritten_input, 256)(uint32_t count, Global<float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        y[i] = x[i];
        x[i] = 0.0f;
    }
}

// A pointer that may be absent is not asked whether it is.
KERNEL(absent_pointer, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    const Global<const float> bias = {};
    for (uint32_t i = first(); i < count; i += step()) y[i] = x[i] + bias[i];
}

// Four floats at once from any place.
KERNEL(misaligned_vector, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] = i + 4 < count ? load4(x, i).x : x[i];
}

// A tile as wide as the block, and one more element is read.
KERNEL(outside_shared, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Shared<float, 256> tile;
    const uint32_t i = first();
    tile[threadIdx.x] = i < count ? x[i] : 0.0f;
    __syncthreads();
    if (i < count) y[i] = tile[threadIdx.x + 1];
}

// Threads past the end write nothing into the tile that others read.
KERNEL(uninitialised_shared, 256)(uint32_t count, Global<const float> x, Global<float> y) {
    __shared__ Shared<float, 256> tile;
    const uint32_t i = first();
    if (i < count) tile[threadIdx.x] = x[i];
    __syncthreads();
    if (i < count) y[i] = tile[255 - threadIdx.x];
}
