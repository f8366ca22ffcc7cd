// Softmax along the axis of outer×axis×inner. A block has one line where lines lie in one piece; else a thread has one, so
// that neighbouring threads read neighbouring floats.

KERNEL(softmax_rows, 256)(Rows g, Global<const float> x, Global<float> y) {
    const Global<const float> from = x + size_t(blockIdx.x) * g.length;
    const Global<float> to = y + size_t(blockIdx.x) * g.length;
    float largest = -INFINITY;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const float value = from[i];
        largest = value > largest ? value : largest;
    }
    largest = block_max(largest);
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const float value = expf(from[i] - largest);
        to[i] = value;
        sum += value;
    }
    const float factor = 1.0f / block_sum(sum);
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) to[i] *= factor;
}

KERNEL(softmax_columns, 256)(Axis g, Global<const float> x, Global<float> y) {
    const uint32_t line = first();
    if (line >= g.outer * g.inner) return;
    const size_t start = size_t(line / g.inner) * g.axis * g.inner + line % g.inner;
    float largest = -INFINITY;
    for (uint32_t i = 0; i < g.axis; ++i) {
        const float value = x[start + size_t(i) * g.inner];
        largest = value > largest ? value : largest;
    }
    float sum = 0.0f;
    for (uint32_t i = 0; i < g.axis; ++i) {
        const float value = expf(x[start + size_t(i) * g.inner] - largest);
        y[start + size_t(i) * g.inner] = value;
        sum += value;
    }
    const float factor = 1.0f / sum;
    for (uint32_t i = 0; i < g.axis; ++i) y[start + size_t(i) * g.inner] *= factor;
}

// dx = y · (dy − Σ dy · y).
KERNEL(softmax_rows_backward, 256)(Rows g, Global<const float> y, Global<const float> dy, Global<float> dx) {
    const size_t start = size_t(blockIdx.x) * g.length;
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) sum += dy[start + i] * y[start + i];
    sum = block_sum(sum);
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) dx[start + i] = y[start + i] * (dy[start + i] - sum);
}

KERNEL(softmax_columns_backward, 256)(Axis g, Global<const float> y, Global<const float> dy, Global<float> dx) {
    const uint32_t line = first();
    if (line >= g.outer * g.inner) return;
    const size_t start = size_t(line / g.inner) * g.axis * g.inner + line % g.inner;
    float sum = 0.0f;
    for (uint32_t i = 0; i < g.axis; ++i) sum += dy[start + size_t(i) * g.inner] * y[start + size_t(i) * g.inner];
    for (uint32_t i = 0; i < g.axis; ++i) {
        const size_t place = start + size_t(i) * g.inner;
        dx[place] = y[place] * (dy[place] - sum);
    }
}
