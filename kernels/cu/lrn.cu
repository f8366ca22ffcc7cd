// Local response normalization. A thread has one element, and sums its neighbours' squares anew: they come from the caches,
// and a running sum would lose digits. On the way back it does so for each neighbour, size² (or size⁴) reads.

enum Region : uint32_t { ACROSS_CHANNELS, WITHIN_CHANNEL };

struct Lrn {
    uint32_t batch, channels, height, width, size;
    float alpha, beta, k;
    uint32_t region;
};

// Neighbours of one element: bounds of channels (across), or of rows and columns (within).
struct Near {
    uint32_t from, to;
};

__device__ __forceinline__ Near near(uint32_t at, uint32_t reach, uint32_t extent) {
    return {at < reach ? 0 : at - reach, at + reach + 1 < extent ? at + reach + 1 : extent};
}

// k + α/n · Σ x² around channel c of the pixel that begins at `start`.
__device__ __forceinline__ float across(const Lrn& g, Global<const float> x, size_t start, uint32_t channel) {
    const uint32_t plane = g.height * g.width;
    const Near channels = near(channel, (g.size - 1) / 2, g.channels);
    float sum = 0.0f;
    for (uint32_t c = channels.from; c < channels.to; ++c) {
        const float value = x[start + size_t(c) * plane];
        sum += value * value;
    }
    return g.k + g.alpha / float(g.size) * sum;
}

// 1 + α/n² · Σ x² around a pixel of the plane that begins at `start`.
__device__ __forceinline__ float within(const Lrn& g, Global<const float> x, size_t start, uint32_t row, uint32_t column) {
    const Near rows = near(row, (g.size - 1) / 2, g.height), columns = near(column, (g.size - 1) / 2, g.width);
    float sum = 0.0f;
    for (uint32_t r = rows.from; r < rows.to; ++r) {
        for (uint32_t c = columns.from; c < columns.to; ++c) {
            const float value = x[start + r * g.width + c];
            sum += value * value;
        }
    }
    return 1.0f + g.alpha / float(g.size * g.size) * sum;
}

// s^−β; the exponent that nets use has a short form.
__device__ __forceinline__ float to_minus_beta(float s, float beta) {
    if (beta == 0.75f) {
        const float root = sqrtf(s);
        return 1.0f / (root * sqrtf(root));
    }
    return powf(s, -beta);
}

KERNEL(lrn_forward, 256)(Lrn g, uint32_t count, Global<const float> x, Global<float> y) {
    const uint32_t plane = g.height * g.width;
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t pixel = i % plane, channel = i / plane % g.channels;
        const float s = g.region == ACROSS_CHANNELS
                            ? across(g, x, i - size_t(channel) * plane, channel)
                            : within(g, x, i - pixel, pixel / g.width, pixel % g.width);
        y[i] = x[i] * to_minus_beta(s, g.beta);
    }
}

// dx = dy · s^−β − 2αβ/n · x · Σ dy · x · s^(−β−1), both sums over the same neighbours.
KERNEL(lrn_backward, 256)(Lrn g, uint32_t count, Global<const float> x, Global<const float> dy, Global<float> dx) {
    const uint32_t plane = g.height * g.width, reach = (g.size - 1) / 2;
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t pixel = i % plane, channel = i / plane % g.channels;
        float sum = 0.0f, own = 0.0f;
        if (g.region == ACROSS_CHANNELS) {
            const size_t start = i - size_t(channel) * plane;
            const Near channels = near(channel, reach, g.channels);
            for (uint32_t c = channels.from; c < channels.to; ++c) {
                const float s = across(g, x, start, c), power = to_minus_beta(s, g.beta);
                if (c == channel) own = power;
                sum += dy[start + size_t(c) * plane] * x[start + size_t(c) * plane] * power / s;
            }
        } else {
            const size_t start = i - pixel;
            const Near rows = near(pixel / g.width, reach, g.height), columns = near(pixel % g.width, reach, g.width);
            for (uint32_t r = rows.from; r < rows.to; ++r) {
                for (uint32_t c = columns.from; c < columns.to; ++c) {
                    const float s = within(g, x, start, r, c), power = to_minus_beta(s, g.beta);
                    if (r * g.width + c == pixel) own = power;
                    sum += dy[start + r * g.width + c] * x[start + r * g.width + c] * power / s;
                }
            }
        }
        const float terms = g.region == ACROSS_CHANNELS ? float(g.size) : float(g.size * g.size);
        dx[i] = dy[i] * own - 2.0f * g.alpha / terms * g.beta * x[i] * sum;
    }
}
