// L2 normalization of images (SSD's Normalize).

struct Normalize {
    uint32_t batch, channels, inner;
    bool across_spatial, channel_shared;
    float eps;
};

__device__ __forceinline__ float scale_of(const Normalize& g, Global<const float> scale, uint32_t channel) {
    return scale[g.channel_shared ? 0 : channel];
}

// One norm an image: a block has one.
KERNEL(normalize_images, 256)(Normalize g, Global<const float> x, Global<const float> scale, Global<float> y) {
    const uint32_t image = g.channels * g.inner;
    const size_t start = size_t(blockIdx.x) * image;
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < image; i += blockDim.x) {
        const float value = x[start + i];
        sum += value * value;
    }
    const float norm = 1.0f / sqrtf(block_sum(sum) + g.eps);
    for (uint32_t i = threadIdx.x; i < image; i += blockDim.x) {
        y[start + i] = x[start + i] * norm * scale_of(g, scale, i / g.inner);
    }
}

// One norm a pixel: a thread has one.
KERNEL(normalize_pixels, 256)(Normalize g, Global<const float> x, Global<const float> scale, Global<float> y) {
    const uint32_t pixel = first();
    if (pixel >= g.batch * g.inner) return;
    const size_t start = size_t(pixel / g.inner) * g.channels * g.inner + pixel % g.inner;
    float sum = g.eps;
    for (uint32_t c = 0; c < g.channels; ++c) {
        const float value = x[start + size_t(c) * g.inner];
        sum += value * value;
    }
    const float norm = 1.0f / sqrtf(sum);
    for (uint32_t c = 0; c < g.channels; ++c) {
        y[start + size_t(c) * g.inner] = x[start + size_t(c) * g.inner] * norm * scale_of(g, scale, c);
    }
}

// dx = (s · dy − x · Σ(s · dy · x) / n²) / n, n being the norm and s the channel's scale.
KERNEL(normalize_images_backward, 256)
(Normalize g, Global<const float> x, Global<const float> scale, Global<const float> dy, Global<float> dx) {
    const uint32_t image = g.channels * g.inner;
    const size_t start = size_t(blockIdx.x) * image;
    float squares = 0.0f, along = 0.0f;
    for (uint32_t i = threadIdx.x; i < image; i += blockDim.x) {
        const float value = x[start + i];
        squares += value * value;
        along += scale_of(g, scale, i / g.inner) * value * dy[start + i];
    }
    squares = block_sum(squares) + g.eps;
    along = block_sum(along) / squares;
    const float norm = 1.0f / sqrtf(squares);
    for (uint32_t i = threadIdx.x; i < image; i += blockDim.x) {
        dx[start + i] = (scale_of(g, scale, i / g.inner) * dy[start + i] - x[start + i] * along) * norm;
    }
}

KERNEL(normalize_pixels_backward, 256)
(Normalize g, Global<const float> x, Global<const float> scale, Global<const float> dy, Global<float> dx) {
    const uint32_t pixel = first();
    if (pixel >= g.batch * g.inner) return;
    const size_t start = size_t(pixel / g.inner) * g.channels * g.inner + pixel % g.inner;
    float squares = g.eps, along = 0.0f;
    for (uint32_t c = 0; c < g.channels; ++c) {
        const size_t place = start + size_t(c) * g.inner;
        const float value = x[place];
        squares += value * value;
        along += scale_of(g, scale, c) * value * dy[place];
    }
    along /= squares;
    const float norm = 1.0f / sqrtf(squares);
    for (uint32_t c = 0; c < g.channels; ++c) {
        const size_t place = start + size_t(c) * g.inner;
        dx[place] = (scale_of(g, scale, c) * dy[place] - x[place] * along) * norm;
    }
}

// dscale += Σ dy · y / scale, over each channel or over all: a block has one scale.
KERNEL(normalize_backward_scale, 256)
(Axis g, Global<const float> y, Global<const float> scale, Global<const float> dy, Global<float> dscale) {
    const uint32_t channel = blockIdx.x;
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.outer * g.inner; i += blockDim.x) {
        const uint32_t place = (i / g.inner * g.axis + channel) * g.inner + i % g.inner;
        sum += y[place] * dy[place];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) dscale[channel] += sum / scale[channel];
}
