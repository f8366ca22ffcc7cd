// What the products have in common: a block of 16×16 threads computes a tile of the result. Slices of both operands, DEPTH
// deep, come into shared memory while the slices before them are multiplied.

constexpr int TILE_THREADS = 256;

// What happens to sums on their way out: C = finish(alpha · sum + bias + beta · C).
struct Epilogue {
    Global<const float> bias;
    // Element i of C has bias (i / divisor) % modulo.
    uint32_t divisor, modulo;
    float alpha, beta;
    // 0: nothing; 1: max(x, 0); 2: leaky, with slope a; 3: between a and b.
    uint32_t finish;
    float a, b;
};

__device__ __forceinline__ void finish(const Epilogue& epilogue, float sum, Global<float> c, size_t index) {
    float value = epilogue.alpha * sum;
    if (epilogue.bias) value += epilogue.bias[uint32_t(index) / epilogue.divisor % epilogue.modulo];
    if (epilogue.beta != 0.0f) value += epilogue.beta * c[index];
    if (epilogue.finish == 1) value = value < 0.0f ? 0.0f : value;
    if (epilogue.finish == 2) value = leaky_relu(epilogue.a, value);
    if (epilogue.finish == 3) value = clip(epilogue.a, epilogue.b, value);
    c[index] = value;
}

// Slices of both operands, two of each: one is multiplied while the other fills.
template <int ROWS, int COLUMNS, int DEPTH, int PAD>
struct Slices {
    Shared<float, 2, DEPTH, ROWS + PAD> a;
    Shared<float, 2, DEPTH, COLUMNS + PAD> b;
};

// Plain arithmetic: each thread has SIZE×SIZE sums, in pieces of 4×4 that lie 64 apart, so that a quarter of a warp reads 128
// neighbouring bytes of shared memory.
template <int SIZE, int DEPTH_OF_SLICE>
struct Plain {
    static constexpr int EXTENT = 16 * SIZE;
    static constexpr int DEPTH = DEPTH_OF_SLICE;
    // Keeps rows at multiples of 16 bytes, and spreads a column over the banks.
    static constexpr int PAD = 4;
    typedef Slices<EXTENT, EXTENT, DEPTH, PAD> Memory;

    float sums[SIZE][SIZE];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < SIZE; ++i) {
#pragma unroll
            for (int j = 0; j < SIZE; ++j) sums[i][j] = 0.0f;
        }
    }

    __device__ __forceinline__ void multiply(Memory& memory, int slot) {
        const int across = threadIdx.x % 16 * 4, down = threadIdx.x / 16 * 4;
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            float a[SIZE], b[SIZE];
#pragma unroll
            for (int piece = 0; piece < SIZE / 4; ++piece) {
                const float4 left = load4(memory.a[slot][k], piece * 64 + down);
                const float4 right = load4(memory.b[slot][k], piece * 64 + across);
                a[piece * 4] = left.x;
                a[piece * 4 + 1] = left.y;
                a[piece * 4 + 2] = left.z;
                a[piece * 4 + 3] = left.w;
                b[piece * 4] = right.x;
                b[piece * 4 + 1] = right.y;
                b[piece * 4 + 2] = right.z;
                b[piece * 4 + 3] = right.w;
            }
#pragma unroll
            for (int i = 0; i < SIZE; ++i) {
#pragma unroll
                for (int j = 0; j < SIZE; ++j) sums[i][j] += a[i] * b[j];
            }
        }
    }

    // Calls write(row, column, sum) for each sum of this thread.
    template <class Write>
    __device__ __forceinline__ void each(const Write& write) const {
        const int across = threadIdx.x % 16 * 4, down = threadIdx.x / 16 * 4;
#pragma unroll
        for (int i = 0; i < SIZE; ++i) {
#pragma unroll
            for (int j = 0; j < SIZE; ++j) write(i / 4 * 64 + down + i % 4, j / 4 * 64 + across + j % 4, sums[i][j]);
        }
    }
};

// TF32 on the tensor cores: 8 warps, 2 down and 4 across, each with 64×32 sums in 4×4 products of 16×8.
struct Tensor {
    static constexpr int EXTENT = 128;
    static constexpr int DEPTH = 16;
    // Eight rows further is eight banks further: the 32 words of a fragment lie in 32 banks.
    static constexpr int PAD = 8;
    typedef Slices<EXTENT, EXTENT, DEPTH, PAD> Memory;

    float sums[4][4][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
#pragma unroll
                for (int part = 0; part < 4; ++part) sums[i][j][part] = 0.0f;
            }
        }
    }

    __device__ __forceinline__ void multiply(Memory& memory, int slot) {
        const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
        const int down = warp / 4 * 64 + group, across = warp % 4 * 32 + group;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            uint32_t a[4][4], b[4][2];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                a[i][0] = to_tf32(memory.a[slot][k + lane][down + i * 16]);
                a[i][1] = to_tf32(memory.a[slot][k + lane][down + i * 16 + 8]);
                a[i][2] = to_tf32(memory.a[slot][k + lane + 4][down + i * 16]);
                a[i][3] = to_tf32(memory.a[slot][k + lane + 4][down + i * 16 + 8]);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                b[j][0] = to_tf32(memory.b[slot][k + lane][across + j * 8]);
                b[j][1] = to_tf32(memory.b[slot][k + lane + 4][across + j * 8]);
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) mma_tf32(sums[i][j], a[i], b[j]);
            }
        }
    }

    template <class Write>
    __device__ __forceinline__ void each(const Write& write) const {
        const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
        const int down = warp / 4 * 64 + group, across = warp % 4 * 32 + lane * 2;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
#pragma unroll
                for (int part = 0; part < 4; ++part) {
                    write(down + i * 16 + part / 2 * 8, across + j * 8 + part % 2, sums[i][j][part]);
                }
            }
        }
    }
};

// Sums over `from..to` of the common extent: source.fetch(memory, slot, k) starts to copy the slices at k, and
// source.look_ahead(slot, k) prepares what that needs, one barrier before.
template <class Tile, class Source>
__device__ __forceinline__ void multiply_slices(Tile& tile, Source& source, typename Tile::Memory& memory, uint32_t from,
                                                uint32_t to) {
    tile.clear();
    source.look_ahead(0, from);
    __syncthreads();
    source.fetch(memory, 0, from);
    copy_async_commit();
    source.look_ahead(1, from + Tile::DEPTH);
    int slot = 0;
    for (uint32_t k = from; k < to; k += Tile::DEPTH) {
        copy_async_wait<0>();
        // Now everybody's copies are there, and the other slot is read no more.
        __syncthreads();
        if (k + Tile::DEPTH < to) {
            source.fetch(memory, slot ^ 1, k + Tile::DEPTH);
            copy_async_commit();
            source.look_ahead(slot, k + 2 * Tile::DEPTH);
        }
        tile.multiply(memory, slot);
        slot ^= 1;
    }
    copy_async_wait<0>();
}
