// C = alpha · op(A) · op(B) + beta · C in TF32 on the tensor cores of sm_90a, which read both operands from shared memory by
// themselves: 128×128 tiles, two groups of four warps with 64×128 sums each, all four transposes.
//
// In: as gemm.cu. Launch: as gemm.cu, 256 threads. A slice is 16 steps deep; there are three in shared memory, 48 KiB: one being
// multiplied, one that waits for it, one being filled; a fourth is on its way in registers. Through registers, and not by
// cp.async, because the hardware takes the upper 19 bits of a float as they are, which cuts off what should be rounded: so each
// float is rounded on its way, once, and both ways of lying in memory are turned into the one that wgmma reads.

constexpr int TILE = 128, SLICE = 16, STAGES = 3;
// Four steps of the sum for one row or column are 16 bytes in one piece; those of neighbouring rows lie side by side.
constexpr int QUADS = SLICE / 4;
typedef Shared<float, STAGES, QUADS, TILE * 4> Stages;

// One operand, and this thread's two quads of the slice that is on its way.
struct Share {
    Global<const float> from;
    const Matrix& matrix;
    uint32_t extent, end;
    float quads[2][4];

    __device__ __forceinline__ Share(Global<const float> first, const Matrix& operand, uint32_t there, uint32_t last)
        : from(first), matrix(operand), extent(there), end(last) {}

    // Where rows lie side by side, a warp takes 32 of them; else 8 rows and all that there is of their sums. Either way its
    // reads fill pieces of 32 bytes, and its stores all banks.
    __device__ __forceinline__ uint32_t row(int i) const {
        return matrix.along == 1 ? threadIdx.x % TILE : threadIdx.x / 32 * 8 + threadIdx.x % 8 + i * 64;
    }

    __device__ __forceinline__ int quad(int i) const {
        return matrix.along == 1 ? threadIdx.x / TILE + i * 2 : threadIdx.x % 32 / 8;
    }

    // Floats before a step of the sum.
    __device__ __forceinline__ uint32_t before(uint32_t step) const {
        return matrix.run ? step / matrix.run * matrix.next_run + step % matrix.run : step * matrix.down;
    }

    __device__ __forceinline__ void fetch(uint32_t k) {
        if (matrix.along == 1) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const uint32_t step = k + quad(i) * 4 + j;
                    quads[i][j] = row(i) < extent && step < end ? from[row(i) + step * matrix.down] : 0.0f;
                }
            }
        } else if (matrix.aligned) {
            const uint32_t step = k + quad(0) * 4, at = before(step);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                float4 four = {0.0f, 0.0f, 0.0f, 0.0f};
                if (row(i) < extent && step < end) four = load4(from, row(i) * matrix.along + at);
                quads[i][0] = four.x;
                quads[i][1] = four.y;
                quads[i][2] = four.z;
                quads[i][3] = four.w;
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const uint32_t step = k + quad(0) * 4 + j, at = before(step);
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    quads[i][j] = row(i) < extent && step < end ? from[row(i) * matrix.along + at] : 0.0f;
                }
            }
        }
    }

    __device__ __forceinline__ void store(Stages& stages, int stage) const {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const float4 rounded = {round_to_tf32(quads[i][0]), round_to_tf32(quads[i][1]), round_to_tf32(quads[i][2]),
                                    round_to_tf32(quads[i][3])};
            store4(stages[stage][quad(i)], row(i) * 4, rounded);
        }
    }
};

KERNEL(gemm_wgmma, 256)(Gemm g) {
    __shared__ Stages a, b;
    const Part part = find_part<TILE>(g);
    Share left(part.a, g.a, g.m - part.row, part.to), right(part.b, g.b, g.n - part.column, part.to);
    left.fetch(part.from);
    right.fetch(part.from);
    left.store(a, 0);
    right.store(b, 0);
    left.fetch(part.from + SLICE);
    right.fetch(part.from + SLICE);

    const int down = threadIdx.x / 128 * 64;
    WgmmaSums sums;
    sums.clear();
    int stage = 0;
    for (uint32_t k = part.from; k < part.to; k += SLICE) {
        async_fence();
        // Everybody's share of this slice is there, and the products of the slice before the last are done.
        __syncthreads();
        wgmma_fence(sums);
#pragma unroll
        for (int quad = 0; quad < QUADS; quad += 2) {
            wgmma_tf32(sums, wgmma_operand(a[stage], quad, down * 4), wgmma_operand(b[stage], quad, 0));
        }
        wgmma_commit();
        stage = stage + 1 < STAGES ? stage + 1 : 0;
        if (k + SLICE < part.to) {
            left.store(a, stage);
            right.store(b, stage);
            left.fetch(k + 2 * SLICE);
            right.fetch(k + 2 * SLICE);
        }
        wgmma_wait<1>(sums);
    }
    wgmma_wait<0>(sums);
    const int first = down + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4, across = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 64; ++i) hand_over(g, part, first + i % 4 / 2 * 8, across + i / 4 * 8 + i % 2, sums[i]);
}
