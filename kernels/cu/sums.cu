// Sums over all but the axis of outer×axis×inner: the gradients of biases, scales and slopes. A block sums one entry of the
// axis, in an order that only the sizes decide.

enum Term : uint32_t { PLAIN, PRODUCT, BELOW_ZERO };

__device__ __forceinline__ float term(uint32_t kind, Global<const float> x, Global<const float> dy, uint32_t i) {
    if (kind == PLAIN) return dy[i];
    const float value = x[i], gradient = dy[i];
    return kind == BELOW_ZERO && value > 0.0f ? 0.0f : value * gradient;
}

// target[c] += Σ term.
KERNEL(channel_sums, 256)
(Axis g, uint32_t kind, Global<const float> x, Global<const float> dy, Global<float> target) {
    const uint32_t channel = blockIdx.x;
    double total[1] = {};
    add_share(g.outer * g.inner, total, [&](uint32_t i, float (&sum)[1]) {
        sum[0] += term(kind, x, dy, (i / g.inner * g.axis + channel) * g.inner + i % g.inner);
    });
    const float sum = float(block_sum(total[0]));
    if (threadIdx.x == 0) target[channel] += sum;
}

// The same where inner is 1: neighbouring threads read neighbouring entries.
KERNEL(column_sums, 256)
(Axis g, uint32_t kind, Global<const float> x, Global<const float> dy, Global<float> target) {
    const uint32_t channel = first();
    if (channel >= g.axis) return;
    float sum = 0.0f;
    for (uint32_t outer = 0; outer < g.outer; ++outer) sum += term(kind, x, dy, outer * g.axis + channel);
    target[channel] += sum;
}
