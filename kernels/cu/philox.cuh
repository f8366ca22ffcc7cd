// Random numbers where they are needed: Philox4x32-10, as src/random.rs has it. A pass's numbers follow from a key and the
// pass's number, which is read from memory, so that a recorded step draws others each time it is replayed.

struct Words {
    uint32_t word[4];
};

__device__ __forceinline__ Words philox(uint32_t key_low, uint32_t key_high, Words counter) {
    uint32_t a = counter.word[0], b = counter.word[1], c = counter.word[2], d = counter.word[3];
    for (int round = 0; round < 10; ++round) {
        const uint64_t first = uint64_t(0xd2511f53u) * a, second = uint64_t(0xcd9e8d57u) * c;
        a = uint32_t(second >> 32) ^ b ^ key_low;
        b = uint32_t(second);
        c = uint32_t(first >> 32) ^ d ^ key_high;
        d = uint32_t(first);
        key_low += 0x9e3779b9u;
        key_high += 0xbb67ae85u;
    }
    return {{a, b, c, d}};
}

// Numbers of one key in one pass.
struct Random {
    uint32_t key_low, key_high;
    uint32_t pass_low, pass_high;

    __device__ __forceinline__ Words block(uint32_t index) const {
        return philox(key_low, key_high, {{index, 0, pass_low, pass_high}});
    }
};

// In [0, 1): the upper 24 bits.
__device__ __forceinline__ float to_unit(uint32_t word) { return float(word >> 8) * 5.9604644775390625e-8f; }

// Number i: of 64 blocks, 256 numbers lie side by side, word after word.
__device__ __forceinline__ float number(const Random& random, uint32_t i) {
    const Words words = random.block(i / 256 * 64 + i % 64);
    const uint32_t which = i / 64 % 4;
    return to_unit(which == 0 ? words.word[0] : which == 1 ? words.word[1] : which == 2 ? words.word[2] : words.word[3]);
}
