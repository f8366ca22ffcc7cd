// Normal noise on gradients, drawn from ChaCha8 where it is added: the same numbers as the processor's, but for the last
// bits of ln, sin and cos. A thread draws for two neighbours, one block of ChaCha's, of which they use a quarter: some 500
// whole-number operations, for 12 bytes.

struct Noise {
    uint32_t key[8];
    uint32_t stream[2];
    float deviation;
    uint32_t unused;
};

__device__ __forceinline__ uint32_t rotated(uint32_t x, int bits) { return x << bits | x >> (32 - bits); }

__device__ __forceinline__ void quarter_round(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d) {
    a += b, d = rotated(d ^ a, 16);
    c += d, b = rotated(b ^ c, 12);
    a += b, d = rotated(d ^ a, 8);
    c += d, b = rotated(b ^ c, 7);
}

// In [0, 1), from the upper 53 of two words' 64 bits.
__device__ __forceinline__ double unit(uint32_t low, uint32_t high) {
    return double((uint64_t(high) << 32 | low) >> 11) / double(uint64_t(1) << 53);
}

// Four words of a stream, from the word 4 · `index` on.
__device__ __forceinline__ void chacha8(const Noise& noise, uint32_t index, uint32_t (&words)[4]) {
    uint32_t start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
    for (int i = 0; i < 8; ++i) start[4 + i] = noise.key[i];
    start[12] = index / 4;
    start[13] = 0;
    start[14] = noise.stream[0];
    start[15] = noise.stream[1];
    uint32_t x[16];
    for (int i = 0; i < 16; ++i) x[i] = start[i];
    for (int round = 0; round < 8; round += 2) {
        for (int i = 0; i < 4; ++i) quarter_round(x[i], x[4 + i], x[8 + i], x[12 + i]);
        for (int i = 0; i < 4; ++i) quarter_round(x[i], x[4 + (i + 1) % 4], x[8 + (i + 2) % 4], x[12 + (i + 3) % 4]);
    }
    // With a number that the compiler knows for each word: an array that is indexed otherwise has no place in registers.
    for (int row = 0; row < 4; ++row) {
        if (row == index % 4) {
            for (int i = 0; i < 4; ++i) words[i] = x[row * 4 + i] + start[row * 4 + i];
        }
    }
}

// gradient = changed gradient + noise.
KERNEL(add_noise, 256)(Table<AnyRule> table, Global<const Noise> noises) {
    const Piece piece = table.pieces[blockIdx.x];
    const UpdatedTensor<AnyRule> tensor = table.tensors[piece.tensor];
    const Noise noise = noises[piece.noise];
    const Global<const float> value = at_address<const float>(tensor.value);
    const Global<float> gradient = at_address<float>(tensor.gradient);
    const uint32_t end = end_of(piece, tensor.length);
    for (uint32_t i = piece.start + 2 * threadIdx.x; i < end; i += 2 * blockDim.x) {
        uint32_t words[4];
        chacha8(noise, i / 2, words);
        // Box and Muller's way to two normal numbers.
        const double radius = sqrt(-2.0 * log(1.0 - unit(words[0], words[1])));
        const double angle = 6.283185307179586 * unit(words[2], words[3]);
        gradient[i] = changed_gradient(table, piece, gradient, value, i) + noise.deviation * float(radius * cos(angle));
        if (i + 1 < end) {
            gradient[i + 1] =
                changed_gradient(table, piece, gradient, value, i + 1) + noise.deviation * float(radius * sin(angle));
        }
    }
}
