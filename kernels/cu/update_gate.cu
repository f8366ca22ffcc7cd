// Whether an update is made, decided where the losses are: a gate of one word, 1 if the weighted losses are finite and no fault is on
// record, else 0. A launch a loss, one block of 256 threads over its `count` values: 4 bytes and 2 flops in f64 each. What follows
// from f32 cannot overflow in f64, so the sum is finite exactly where each of its terms is.

KERNEL(update_gate, 256)
(uint32_t is_first, uint32_t count, float weight, Global<const float> loss, Global<const uint32_t> record, Global<uint32_t> gate) {
    float strays = 0.0f;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        const double term = double(weight) * double(loss[i]);
        // An infinity less itself is no number.
        if (term - term != 0.0) strays = 1.0f;
    }
    strays = block_sum(strays);
    if (threadIdx.x != 0) return;
    const bool is_open = is_first || gate[0] != 0;
    gate[0] = is_open && strays == 0.0f && record[0] == 0 ? 1 : 0;
}
