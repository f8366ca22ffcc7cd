// Operations that see an array as rows, a block a row: reductions and mean-variance normalization.

enum Reduction : uint32_t { SUM, ABSOLUTE_SUM, SUM_OF_SQUARES, MEAN };

KERNEL(reduce_forward, 256)
(Rows g, uint32_t op, float coefficient, Global<const float> x, Global<float> y) {
    const size_t start = size_t(blockIdx.x) * g.length;
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const float value = x[start + i];
        sum += op == ABSOLUTE_SUM ? fabsf(value) : op == SUM_OF_SQUARES ? value * value : value;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = (op == MEAN ? coefficient / g.length : coefficient) * sum;
}

KERNEL(reduce_backward, 256)
(Rows g, uint32_t op, float coefficient, uint32_t count, Global<const float> x, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const float share = coefficient * dy[i / g.length];
        if (op == SUM) {
            dx[i] = share;
        } else if (op == MEAN) {
            dx[i] = share / g.length;
        } else {
            const float value = x[i];
            if (op == SUM_OF_SQUARES) {
                dx[i] = 2.0f * share * value;
            } else {
                dx[i] = value > 0.0f ? share : value < 0.0f ? -share : 0.0f;
            }
        }
    }
}

// The row's mean, and 1 / (√variance + eps) (not √(variance + eps)).
struct Statistics {
    float mean, scale;
};

__device__ __forceinline__ Statistics statistics(const Rows& g, float eps, Global<const float> x, size_t start) {
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) sum += x[start + i];
    const float mean = block_sum(sum) / g.length;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const float rest = x[start + i] - mean;
        squares += rest * rest;
    }
    return {mean, 1.0f / (sqrtf(block_sum(squares) / g.length) + eps)};
}

KERNEL(mvn_forward, 256)
(Rows g, uint32_t normalize_variance, float eps, Global<const float> x, Global<float> y) {
    const size_t start = size_t(blockIdx.x) * g.length;
    const Statistics row = statistics(g, eps, x, start);
    const float scale = normalize_variance ? row.scale : 1.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) y[start + i] = (x[start + i] - row.mean) * scale;
}

KERNEL(mvn_backward, 256)
(Rows g, uint32_t normalize_variance, float eps, Global<const float> x, Global<const float> dy, Global<float> dx) {
    const size_t start = size_t(blockIdx.x) * g.length;
    float plain = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) plain += dy[start + i];
    plain = block_sum(plain) / g.length;
    if (!normalize_variance) {
        for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) dx[start + i] = dy[start + i] - plain;
        return;
    }
    const Statistics row = statistics(g, eps, x, start);
    float along = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        along += (x[start + i] - row.mean) * row.scale * dy[start + i];
    }
    along = block_sum(along) / g.length;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        dx[start + i] = (dy[start + i] - plain - (x[start + i] - row.mean) * row.scale * along) * row.scale;
    }
}
