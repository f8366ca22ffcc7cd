// Batch normalization with the batch's own statistics. A block has one entry of the axis of outer×axis×inner.

// The mean and the biased variance: the mean first, then the squares of what is left, so that no digits cancel.
KERNEL(batch_statistics, 256)(Axis g, Global<const float> x, Global<float> mean, Global<float> variance) {
    const uint32_t channel = blockIdx.x, count = g.outer * g.inner;
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        sum += x[(i / g.inner * g.axis + channel) * g.inner + i % g.inner];
    }
    const float middle = block_sum(sum) / count;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        const float rest = x[(i / g.inner * g.axis + channel) * g.inner + i % g.inner] - middle;
        squares += rest * rest;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        mean[channel] = middle;
        variance[channel] = squares / count;
    }
}

// dx = (dy − mean(dy) − y · mean(dy · y)) / √(σ² + eps), y being x normalized.
KERNEL(batch_normalization_backward, 256)
(Axis g, Global<const float> x, Global<const float> mean, Global<const float> variance, float eps, Global<const float> dy,
 Global<float> dx) {
    const uint32_t channel = blockIdx.x, count = g.outer * g.inner;
    const float middle = mean[channel], scale = 1.0f / sqrtf(variance[channel] + eps);
    float plain = 0.0f, along = 0.0f;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        const uint32_t place = (i / g.inner * g.axis + channel) * g.inner + i % g.inner;
        const float gradient = dy[place];
        plain += gradient;
        along += (x[place] - middle) * scale * gradient;
    }
    plain = block_sum(plain) / count;
    along = block_sum(along) / count;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        const uint32_t place = (i / g.inner * g.axis + channel) * g.inner + i % g.inner;
        dx[place] = (dy[place] - plain - (x[place] - middle) * scale * along) * scale;
    }
}
