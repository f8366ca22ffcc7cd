// Bilinear resizing, corners on corners, and unpooling by a mask.

struct Interp {
    uint32_t planes;
    uint32_t input[2];
    uint32_t output[2];
};

// The two neighbours of an output position, and the second's share.
struct Between {
    uint32_t low, high;
    float share;
};

__device__ __forceinline__ float ratio_of(uint32_t size, uint32_t out_size) {
    return out_size < 2 ? 0.0f : float(size - 1) / float(out_size - 1);
}

__device__ __forceinline__ Between between(uint32_t index, uint32_t size, uint32_t out_size) {
    if (out_size < 2) return {0, 0, 0.0f};
    const float place = float(index) * ratio_of(size, out_size);
    const uint32_t whole = uint32_t(place);
    const uint32_t low = whole < size - 1 ? whole : size - 1;
    return {low, low + 1 < size ? low + 1 : size - 1, place - float(low)};
}

KERNEL(interp_forward, 256)(Interp g, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.output[1], row = i / g.output[1] % g.output[0];
        const size_t plane = size_t(i / g.output[1] / g.output[0]) * g.input[0] * g.input[1];
        const Between down = between(row, g.input[0], g.output[0]);
        const Between across = between(column, g.input[1], g.output[1]);
        const size_t upper = plane + size_t(down.low) * g.input[1], lower = plane + size_t(down.high) * g.input[1];
        const float above = (1.0f - across.share) * x[upper + across.low] + across.share * x[upper + across.high];
        const float under = (1.0f - across.share) * x[lower + across.low] + across.share * x[lower + across.high];
        y[i] = (1.0f - down.share) * above + down.share * under;
    }
}

// The output positions that may lie beside input position `index`.
struct Range {
    uint32_t from, to;
};

__device__ __forceinline__ Range seen_from(uint32_t index, uint32_t size, uint32_t out_size) {
    const float ratio = ratio_of(size, out_size);
    if (ratio == 0.0f) return {0, out_size};
    const float from = (float(index) - 1.0f) / ratio - 1.0f, to = (float(index) + 1.0f) / ratio + 2.0f;
    return {from > 0.0f ? uint32_t(from) : 0, to < float(out_size) ? uint32_t(to) : out_size};
}

// How much of output position `out` comes from input position `index`.
__device__ __forceinline__ float share_of(uint32_t index, uint32_t out, uint32_t size, uint32_t out_size) {
    const Between place = between(out, size, out_size);
    return (place.low == index ? 1.0f - place.share : 0.0f) + (place.high == index ? place.share : 0.0f);
}

// Each input pixel gathers what output pixels took from it: no two threads write one float.
KERNEL(interp_backward, 256)(Interp g, uint32_t count, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.input[1], row = i / g.input[1] % g.input[0];
        const size_t plane = size_t(i / g.input[1] / g.input[0]) * g.output[0] * g.output[1];
        const Range rows = seen_from(row, g.input[0], g.output[0]);
        const Range columns = seen_from(column, g.input[1], g.output[1]);
        float sum = 0.0f;
        for (uint32_t r = rows.from; r < rows.to; ++r) {
            const float down = share_of(row, r, g.input[0], g.output[0]);
            if (down == 0.0f) continue;
            for (uint32_t c = columns.from; c < columns.to; ++c) {
                const float across = share_of(column, c, g.input[1], g.output[1]);
                if (across != 0.0f) sum += down * across * dy[plane + size_t(r) * g.output[1] + c];
            }
        }
        dx[i] = sum;
    }
}

// Element i of a plane of x goes to place mask[i] of a plane of y; of several for one place, the last. First each place
// learns who that is (one more than its number, 0 for nobody), then it takes the value.
KERNEL(unpool_claim, 256)(uint32_t from, uint32_t to, uint32_t count, Global<const float> mask, Global<int> winner) {
    for (uint32_t i = first(); i < count; i += step()) {
        const float place = mask[i];
        if (place >= 0.0f && place < float(to)) atomic_max(winner, size_t(i / from) * to + uint32_t(place), int(i) + 1);
    }
}

KERNEL(unpool_forward, 256)(uint32_t count, Global<const float> x, Global<const int> winner, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const int number = winner[i];
        y[i] = number > 0 ? x[number - 1] : 0.0f;
    }
}

KERNEL(unpool_backward, 256)
(uint32_t from, uint32_t to, uint32_t count, Global<const float> mask, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const float place = mask[i];
        dx[i] = place >= 0.0f && place < float(to) ? dy[size_t(i / from) * to + uint32_t(place)] : 0.0f;
    }
}
