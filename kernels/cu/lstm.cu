// One step of an LSTM: gates are batch×4·hidden, in the order i, f, o, g, before their functions.

struct Lstm {
    uint32_t batch, hidden;
};

// c' = σ(f)·cont·c + σ(i)·tanh(g), h = σ(o)·tanh(c').
KERNEL(lstm_unit_forward, 256)
(Lstm size, Global<const float> gates, Global<const float> continuation, Global<float> c, Global<float> h) {
    for (uint32_t n = first(); n < size.batch * size.hidden; n += step()) {
        const uint32_t sequence = n / size.hidden;
        const size_t gate = size_t(sequence) * 4 * size.hidden + n % size.hidden;
        const float i = sigmoid(gates[gate]), f = sigmoid(gates[gate + size.hidden]);
        const float o = sigmoid(gates[gate + 2 * size.hidden]), g = tanhf(gates[gate + 3 * size.hidden]);
        const float kept = continuation[sequence];
        // At the start of a sequence the old state counts for nothing, whatever it is.
        const float old = kept == 0.0f ? 0.0f : kept * f * c[n];
        const float state = old + i * g;
        c[n] = state;
        h[n] = o * tanhf(state);
    }
}

KERNEL(lstm_unit_backward, 256)
(Lstm size, Global<const float> gates, Global<const float> continuation, Global<const float> c, Global<const float> dh,
 Global<float> dc, Global<float> dgates) {
    for (uint32_t n = first(); n < size.batch * size.hidden; n += step()) {
        const uint32_t sequence = n / size.hidden;
        const size_t gate = size_t(sequence) * 4 * size.hidden + n % size.hidden;
        const float i = sigmoid(gates[gate]), f = sigmoid(gates[gate + size.hidden]);
        const float o = sigmoid(gates[gate + 2 * size.hidden]), g = tanhf(gates[gate + 3 * size.hidden]);
        const float kept = continuation[sequence], out = dh[n];
        const float old = kept == 0.0f ? 0.0f : kept * c[n];
        const float after = tanhf(f * old + i * g);
        const float total = dc[n] + out * o * (1.0f - after * after);
        dgates[gate] = total * g * i * (1.0f - i);
        dgates[gate + size.hidden] = total * old * f * (1.0f - f);
        dgates[gate + 2 * size.hidden] = out * after * o * (1.0f - o);
        dgates[gate + 3 * size.hidden] = total * i * (1.0f - g * g);
        dc[n] = total * f * kept;
    }
}
