// What the products C = alpha · op(A) · op(B) + beta · C have in common, whatever multiplies: the operands as the launch code
// (kernels/src/device/gemm.rs) describes them, and each block's part.

struct Matrix {
    Global<const float> at;
    // Floats from one row (of op(A)) or column (of op(B)) to the next, and from one step of the sum to the next.
    uint32_t along, down;
    // Floats from one product of the batch to the next: outer, inner.
    uint32_t outer, inner;
    // Whether four neighbours always lie at multiples of 16 bytes.
    uint32_t aligned;
    // Where the sum's floats lie side by side in runs only: their length, and floats from one to the next. Else 0.
    uint32_t run, next_run;
};

struct Gemm {
    uint32_t m, n, k;
    Matrix a, b;
    Global<float> c;
    // Tiles across and down, parts of the sum, products of the batch. A block's index is
    // (((outer · inner_count + inner) · splits + split) · down + tile's row) · across + tile's column: in one number, because the
    // others of a grid end at 65535.
    uint32_t across, down, splits, inner_count;
    // The length of each part of the sum.
    uint32_t part;
    // Floats from one part's result to the next: 0 where there is one, and the epilogue applies.
    uint32_t part_stride;
    Epilogue epilogue;
};

// What a block computes: the tile at (row, column) of a product, from a part of its sums.
struct Part {
    uint32_t row, column, from, to;
    // The first row of op(A) and the first column of op(B).
    Global<const float> a, b;
    // Where the product, or this part of it, begins in C.
    size_t start;
};

template <int EXTENT>
__device__ __forceinline__ Part find_part(const Gemm& g) {
    const uint32_t line = blockIdx.x / g.across, plane = line / g.down;
    const uint32_t split = plane % g.splits, product = plane / g.splits;
    const uint32_t outer = product / g.inner_count, inner = product % g.inner_count;
    Part part;
    part.row = line % g.down * EXTENT;
    part.column = blockIdx.x % g.across * EXTENT;
    part.from = split * g.part;
    part.to = part.from + g.part < g.k ? part.from + g.part : g.k;
    part.a = g.a.at + (size_t(outer) * g.a.outer + size_t(inner) * g.a.inner + size_t(part.row) * g.a.along);
    part.b = g.b.at + (size_t(outer) * g.b.outer + size_t(inner) * g.b.inner + size_t(part.column) * g.b.along);
    part.start = size_t(product) * g.m * g.n + size_t(split) * g.part_stride;
    return part;
}

// The sum of row i and column j of the tile on its way out.
__device__ __forceinline__ void hand_over(const Gemm& g, const Part& part, int i, int j, float sum) {
    if (part.row + i >= g.m || part.column + j >= g.n) return;
    const size_t index = part.start + size_t(part.row + i) * g.n + part.column + j;
    if (g.part_stride == 0) {
        finish(g.epilogue, sum, g.c, index);
    } else {
        g.c[index] = sum;
    }
}
