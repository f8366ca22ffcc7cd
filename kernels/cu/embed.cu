// Rows of a table, looked up by number. What names no row gives zeros, takes nothing, and is recorded by `embed_check`.

struct Embed {
    uint32_t count, rows, length;
};

__device__ __forceinline__ bool names_row(const Embed& g, float index) { return index >= 0.0f && uint32_t(whole(index)) < g.rows; }

// One block, before the others: the first index that names no row.
KERNEL(embed_check, 256)
(Watch watch, Embed g, Global<const float> index, Global<const uint32_t> bits, Global<uint32_t> record) {
    __shared__ Shared<uint32_t, 256> places;
    uint32_t fault = NO_FAULT;
    for (uint32_t i = threadIdx.x; i < g.count; i += blockDim.x) {
        if (!names_row(g, index[i]) && i < fault) fault = i;
    }
    places[threadIdx.x] = fault;
    for (uint32_t half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            const uint32_t own = places[threadIdx.x], other = places[threadIdx.x + half];
            places[threadIdx.x] = other < own ? other : own;
        }
    }
    if (threadIdx.x != 0) return;
    const uint32_t at = places[0];
    if (at != NO_FAULT) report(watch, bits[at], record);
}

KERNEL(embed_forward, 256)
(Embed g, Global<const float> index, Global<const float> table, Global<const float> bias, Global<float> y) {
    const uint32_t count = g.count * g.length;
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.length;
        const float row = index[i / g.length];
        const float value = names_row(g, row) ? float(table[size_t(whole(row)) * g.length + column]) : 0.0f;
        y[i] = bias ? value + bias[column] : value;
    }
}

// dtable[index[i]] += dy[i], in the order of i: a thread has one column, so that no two write one float.
KERNEL(embed_backward, 256)
(Embed g, Global<const float> index, Global<const float> dy, Global<float> dtable) {
    const uint32_t column = first();
    if (column >= g.length) return;
    for (uint32_t i = 0; i < g.count; ++i) {
        const float row = index[i];
        if (names_row(g, row)) dtable[size_t(whole(row)) * g.length + column] += dy[size_t(i) * g.length + column];
    }
}
