// Pooling by the rules of Caffe's layer: a thread has one output, and on the way back one input.

enum Method : uint32_t { MAX, AVERAGE, STOCHASTIC_TRAIN, STOCHASTIC_TEST };

struct Pool {
    uint32_t batch, channels;
    uint32_t input[2];
    uint32_t output[2];
    uint32_t kernel[2];
    uint32_t stride[2];
    uint32_t pad[2];
    uint32_t method;
};

// One axis' share of a window: clipped to the image, and its extent with padding, for the divisor.
struct Extent {
    int from, to, full;
};

__device__ __forceinline__ Extent extent(const Pool& g, int axis, uint32_t index) {
    const int start = int(index * g.stride[axis]) - int(g.pad[axis]), size = g.input[axis];
    const int padded = size + int(g.pad[axis]), reach = start + int(g.kernel[axis]);
    const int end = reach < padded ? reach : padded;
    const int from = start < 0 ? 0 : start > size ? size : start;
    return {from, end < from ? from : end > size ? size : end, end - start};
}

// The largest, and the place of the first that is so large; −1 where there is nothing. What is not a number never wins.
KERNEL(pooling_max, 256)(Pool g, uint32_t count, Global<const float> x, Global<float> y, Global<float> mask) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.output[1], row = i / g.output[1] % g.output[0];
        const size_t plane = size_t(i / g.output[1] / g.output[0]) * g.input[0] * g.input[1];
        const Extent rows = extent(g, 0, row), columns = extent(g, 1, column);
        float best = -3.402823466e38f;
        int place = -1;
        for (int r = rows.from; r < rows.to; ++r) {
            for (int c = columns.from; c < columns.to; ++c) {
                const int here = r * int(g.input[1]) + c;
                const float value = x[plane + here];
                if (value > best) {
                    best = value;
                    place = here;
                }
            }
        }
        y[i] = best;
        if (mask) mask[i] = float(place);
    }
}

KERNEL(pooling_average, 256)(Pool g, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.output[1], row = i / g.output[1] % g.output[0];
        const size_t plane = size_t(i / g.output[1] / g.output[0]) * g.input[0] * g.input[1];
        const Extent rows = extent(g, 0, row), columns = extent(g, 1, column);
        float sum = 0.0f;
        for (int r = rows.from; r < rows.to; ++r) {
            for (int c = columns.from; c < columns.to; ++c) sum += x[plane + r * int(g.input[1]) + c];
        }
        y[i] = sum / float(rows.full * columns.full);
    }
}

// Of a window that is the whole plane, a block has one: the maximum or the mean.
KERNEL(pooling_global, 256)(Rows g, uint32_t method, Global<const float> x, Global<float> y) {
    const size_t start = size_t(blockIdx.x) * g.length;
    float value = method == MAX ? -3.402823466e38f : 0.0f;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const float next = x[start + i];
        value = method != MAX ? value + next : next > value ? next : value;
    }
    value = method == MAX ? block_max(value) : block_sum(value) / float(g.length);
    if (threadIdx.x == 0) y[blockIdx.x] = value;
}

// Σ x² / Σ x.
KERNEL(pooling_expectation, 256)(Pool g, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.output[1], row = i / g.output[1] % g.output[0];
        const size_t plane = size_t(i / g.output[1] / g.output[0]) * g.input[0] * g.input[1];
        const Extent rows = extent(g, 0, row), columns = extent(g, 1, column);
        float sum = 0.0f, squares = 0.0f;
        for (int r = rows.from; r < rows.to; ++r) {
            for (int c = columns.from; c < columns.to; ++c) {
                const float value = x[plane + r * int(g.input[1]) + c];
                sum += value;
                squares += value * value;
            }
        }
        y[i] = sum > 0.0f ? squares / sum : 0.0f;
    }
}

// The first element with which the running sum reaches the random share of the whole.
KERNEL(pooling_draw, 256)
(Pool g, uint32_t count, uint32_t key_low, uint32_t key_high, Global<const uint32_t> clock, Global<const float> x,
 Global<float> y, Global<float> mask) {
    const Random random = {key_low, key_high, clock[0], clock[1]};
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.output[1], row = i / g.output[1] % g.output[0];
        const size_t plane = size_t(i / g.output[1] / g.output[0]) * g.input[0] * g.input[1];
        const Extent rows = extent(g, 0, row), columns = extent(g, 1, column);
        float total = 0.0f;
        for (int r = rows.from; r < rows.to; ++r) {
            for (int c = columns.from; c < columns.to; ++c) total += x[plane + r * int(g.input[1]) + c];
        }
        const float threshold = number(random, i) * total;
        float sum = 0.0f, chosen = 0.0f;
        int place = -1;
        bool found = false;
        for (int r = rows.from; r < rows.to && !found; ++r) {
            for (int c = columns.from; c < columns.to && !found; ++c) {
                place = r * int(g.input[1]) + c;
                chosen = x[plane + place];
                sum += chosen;
                found = sum >= threshold;
            }
        }
        y[i] = chosen;
        if (mask) mask[i] = float(place);
    }
}

// The windows, first and one past the last, that a position of the image is in.
struct Windows {
    int from, to;
};

__device__ __forceinline__ Windows windows_over(const Pool& g, int axis, int position) {
    const int padded = position + int(g.pad[axis]), kernel = g.kernel[axis], stride = g.stride[axis];
    const int from = padded < kernel ? 0 : (padded - kernel) / stride + 1, to = padded / stride + 1;
    return {from, to < int(g.output[axis]) ? to : int(g.output[axis])};
}

// To the element that the mask names.
KERNEL(pooling_masked_backward, 256)
(Pool g, uint32_t count, Global<const float> mask, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t place = i % (g.input[0] * g.input[1]);
        const size_t plane = size_t(i / (g.input[0] * g.input[1])) * g.output[0] * g.output[1];
        const Windows rows = windows_over(g, 0, place / g.input[1]), columns = windows_over(g, 1, place % g.input[1]);
        float sum = 0.0f;
        for (int r = rows.from; r < rows.to; ++r) {
            for (int c = columns.from; c < columns.to; ++c) {
                const size_t window = plane + r * int(g.output[1]) + c;
                if (mask[window] == float(place)) sum += dy[window];
            }
        }
        dx[i] = sum;
    }
}

// In equal shares to the window, divided as the mean was.
KERNEL(pooling_average_backward, 256)(Pool g, uint32_t count, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t place = i % (g.input[0] * g.input[1]);
        const size_t plane = size_t(i / (g.input[0] * g.input[1])) * g.output[0] * g.output[1];
        const Windows rows = windows_over(g, 0, place / g.input[1]), columns = windows_over(g, 1, place % g.input[1]);
        float sum = 0.0f;
        for (int r = rows.from; r < rows.to; ++r) {
            const int height = extent(g, 0, r).full;
            for (int c = columns.from; c < columns.to; ++c) {
                sum += dy[plane + r * int(g.output[1]) + c] / float(height * extent(g, 1, c).full);
            }
        }
        dx[i] = sum;
    }
}
