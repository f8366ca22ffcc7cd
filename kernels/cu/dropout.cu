// y = number < ratio ? 0 : x / (1 − ratio), which is its own gradient: the numbers are drawn again. x and y have `count` floats;
// 8 bytes and some 25 whole-number operations an element. A thread draws a block and has its four elements, which lie 64 apart,
// so that a warp's accesses are of 32 neighbours.

KERNEL(dropout, 256)
(uint32_t key_low, uint32_t key_high, Global<const uint32_t> clock, float ratio, uint32_t count, Global<const float> x,
 Global<float> y) {
    const Random random = {key_low, key_high, clock[0], clock[1]};
    const float factor = 1.0f / (1.0f - ratio);
    const uint32_t blocks = (count + 255) / 256 * 64;
    for (uint32_t block = first(); block < blocks; block += step()) {
        const Words words = random.block(block);
        for (uint32_t which = 0; which < 4; ++which) {
            const uint32_t i = block / 64 * 256 + which * 64 + block % 64;
            if (i < count) y[i] = to_unit(words.word[which]) < ratio ? 0.0f : factor * x[i];
        }
    }
}
