// Operations with a factor or an offset for each entry of the axis of outer×axis×inner.

__device__ __forceinline__ uint32_t channel_of(const Axis& g, uint32_t i) { return i / g.inner % g.axis; }

// y = x · scale + bias, either absent.
KERNEL(scale_forward, 256)
(Axis g, uint32_t count, Global<const float> x, Global<const float> scale, Global<const float> bias, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t channel = channel_of(g, i);
        const float factor = scale ? scale[channel] : 1.0f;
        y[i] = x[i] * factor + (bias ? bias[channel] : 0.0f);
    }
}

// y = (x − mean·f) / √(variance·f + eps); the mean is taken off first: folded into an offset it would cancel digits. Without
// a mean, the gradient. f is one over `weight`, 0 where that is 0, and without a weight 1.
KERNEL(batch_normalization_inference, 256)
(Axis g, uint32_t count, Global<const float> x, Global<const float> mean, Global<const float> variance,
 Global<const float> weight, float eps, Global<float> y) {
    const float sum = weight ? float(weight[0]) : 1.0f, factor = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t channel = channel_of(g, i);
        const float middle = mean ? mean[channel] * factor : 0.0f;
        y[i] = (x[i] - middle) * (1.0f / sqrtf(variance[channel] * factor + eps));
    }
}

KERNEL(prelu_forward, 256)
(Axis g, uint32_t count, Global<const float> x, Global<const float> slope, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] = leaky_relu(slope[channel_of(g, i)], x[i]);
}

KERNEL(prelu_backward, 256)
(Axis g, uint32_t count, Global<const float> x, Global<const float> slope, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const float gradient = dy[i];
        dx[i] = x[i] > 0.0f ? gradient : slope[channel_of(g, i)] * gradient;
    }
}
