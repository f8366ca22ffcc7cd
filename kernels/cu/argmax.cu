// The largest elements along the axis of outer×axis×inner: a thread has one line.

enum Output : uint32_t { INDEX, VALUE, INDEX_AND_VALUE };

// Whether value a at i comes before value b at j: largest first, of equals the later, what is not a number last.
__device__ __forceinline__ bool before(float a, uint32_t i, float b, uint32_t j) {
    const bool a_missing = a != a, b_missing = b != b;
    if (a_missing || b_missing) return a_missing && b_missing ? i < j : b_missing;
    return a > b || (a >= b && i > j);
}

KERNEL(argmax_forward, 128)(Axis g, uint32_t top_k, uint32_t output, Global<const float> x, Global<float> y) {
    const uint32_t line = first();
    if (line >= g.outer * g.inner) return;
    const uint32_t outer = line / g.inner, column = line % g.inner;
    const size_t start = size_t(outer) * g.axis * g.inner + column;
    const uint32_t parts = output == INDEX_AND_VALUE ? 2 : 1;
    const size_t target = size_t(outer) * parts * top_k * g.inner + column;
    float last = 0.0f;
    uint32_t last_index = 0;
    for (uint32_t rank = 0; rank < top_k; ++rank) {
        float best = 0.0f;
        uint32_t best_index = g.axis;
        for (uint32_t i = 0; i < g.axis; ++i) {
            const float value = x[start + size_t(i) * g.inner];
            const bool comes_after = rank == 0 || before(last, last_index, value, i);
            if (comes_after && (best_index == g.axis || before(value, i, best, best_index))) {
                best = value;
                best_index = i;
            }
        }
        const size_t place = target + size_t(rank) * g.inner;
        y[place] = output == VALUE ? best : float(best_index);
        if (output == INDEX_AND_VALUE) y[place + size_t(top_k) * g.inner] = best;
        last = best;
        last_index = best_index;
    }
}
