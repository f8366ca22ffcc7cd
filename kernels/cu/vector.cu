// Arrays as vectors: what optimizers and clipping do with them.

KERNEL(fill, 256)(float value, uint32_t count, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] = value;
}

KERNEL(axpy, 256)(float alpha, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] += alpha * x[i];
}

// Σ x² of as many equal parts as there are blocks: a thread adds 64 squares in f32, and those sums in
// f64.
KERNEL(sum_of_squares, 256)(uint32_t count, Global<const float> x, Global<double> parts) {
    __shared__ Shared<double, 256> sums;
    double sum = 0.0;
    float piece = 0.0f;
    uint32_t added = 0;
    for (uint32_t i = first(); i < count; i += step()) {
        const float value = x[i];
        piece += value * value;
        if (++added % 64 == 0) {
            sum += piece;
            piece = 0.0f;
        }
    }
    sums[threadIdx.x] = sum + piece;
    for (uint32_t half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) parts[blockIdx.x] = sums[0];
}
