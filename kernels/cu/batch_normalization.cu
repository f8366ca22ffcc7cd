// Batch normalization with the batch's own statistics. A block has one entry of the axis of outer×axis×inner.

// The mean and the biased variance: the mean first, then the squares of what is left, so that no digits cancel.
KERNEL(batch_statistics, 256)(Axis g, Global<const float> x, Global<float> mean, Global<float> variance) {
    const uint32_t channel = blockIdx.x, count = g.outer * g.inner;
    const auto at = [&](uint32_t i) { return x[(i / g.inner * g.axis + channel) * g.inner + i % g.inner]; };
    double total[1] = {};
    add_share(count, total, [&](uint32_t i, float (&sum)[1]) { sum[0] += at(i); });
    const float middle = float(block_sum(total[0]) / count);
    double squares[1] = {};
    add_share(count, squares, [&](uint32_t i, float (&sum)[1]) {
        const float rest = at(i) - middle;
        sum[0] += rest * rest;
    });
    squares[0] = block_sum(squares[0]);
    if (threadIdx.x == 0) {
        mean[channel] = middle;
        variance[channel] = float(squares[0] / count);
    }
}

// dx = (dy − mean(dy) − y · mean(dy · y)) / √(σ² + eps), y being x normalized.
KERNEL(batch_normalization_backward, 256)
(Axis g, Global<const float> x, Global<const float> mean, Global<const float> variance, float eps, Global<const float> dy,
 Global<float> dx) {
    const uint32_t channel = blockIdx.x, count = g.outer * g.inner;
    const float middle = mean[channel], scale = 1.0f / sqrtf(variance[channel] + eps);
    double totals[3] = {};
    add_share(count, totals, [&](uint32_t i, float (&sums)[3]) {
        const uint32_t place = (i / g.inner * g.axis + channel) * g.inner + i % g.inner;
        const float gradient = dy[place], rest = x[place] - middle;
        sums[0] += gradient;
        sums[1] += rest * scale * gradient;
        sums[2] += rest;
    });
    for (double& total : totals) total = block_sum(total) / count;
    const double slope = totals[1] * scale, offset = totals[0] - totals[2] * slope;
    const float slope_near = float(slope), offset_near = float(offset), offset_left = float(offset - offset_near);
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        const uint32_t place = (i / g.inner * g.axis + channel) * g.inner + i % g.inner;
        dx[place] = (dy[place] - offset_near - fmaf(x[place] - middle, slope_near, offset_left)) * scale;
    }
}
