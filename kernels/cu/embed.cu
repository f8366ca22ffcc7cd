// Rows of a table, looked up by number. The launch code has seen to it that every number names a row.

struct Embed {
    uint32_t count, rows, length;
};

KERNEL(embed_forward, 256)
(Embed g, Global<const float> index, Global<const float> table, Global<const float> bias, Global<float> y) {
    const uint32_t count = g.count * g.length;
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t column = i % g.length;
        const float value = table[size_t(uint32_t(index[i / g.length])) * g.length + column];
        y[i] = bias ? value + bias[column] : value;
    }
}

// dtable[index[i]] += dy[i], in the order of i: a thread has one column, so that no two write one float.
KERNEL(embed_backward, 256)
(Embed g, Global<const float> index, Global<const float> dy, Global<float> dtable) {
    const uint32_t column = first();
    if (column >= g.length) return;
    for (uint32_t i = 0; i < g.count; ++i) {
        dtable[size_t(uint32_t(index[i])) * g.length + column] += dy[size_t(i) * g.length + column];
    }
}
