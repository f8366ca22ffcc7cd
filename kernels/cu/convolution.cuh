// Convolution, its two gradients, and deconvolution, as one product: nothing is laid out as columns. All groups in one launch,
// any stride, padding and dilation, up to six spatial axes.
//
// What the three passes have in common: a column n of the result and a step k of the sum each have a place along the spatial
// axes, and the element that they meet in lies at the sum of both, or is zero where that is outside. The launch code says how
// the places come about (kernels/src/device/convolution.rs).

// How a number (a column, or a step of the sum) becomes a place: outer index and position along each axis.
struct Walk {
    // Extents of the axes that are walked.
    uint32_t extent[MAX_SPATIAL];
    // Product of these.
    uint32_t inner;
    // Place along each axis: start + position · scale.
    int start[MAX_SPATIAL], scale[MAX_SPATIAL];
    // Floats of the image from one outer index to the next.
    uint32_t outer;
};

struct Convolution {
    // Rows, columns and sums of one group's product.
    uint32_t m, n, k;
    Walk columns, steps;
    // The image that is seen through windows: extents, and floats from one position to the next.
    int extent[MAX_SPATIAL], stride[MAX_SPATIAL];
    // Places count only where they are multiples of this, and are divided by it.
    int divisor[MAX_SPATIAL];
    Global<const float> image;
    // The other operand: floats from one row to the next, and from one outer step and one inner step to the next.
    Global<const float> rows;
    uint32_t row_stride, row_outer;
    // Floats from one group to the next, of the image, the other operand and the result.
    uint32_t image_group, row_group, result_group;
    // The result: floats from one row and from one outer index of a column to the next.
    Global<float> result;
    uint32_t result_row, result_outer;
    uint32_t splits, part, part_stride;
    Epilogue epilogue;
};

// What a step of the sum needs, computed once for the whole block.
template <int RANK, int DEPTH>
struct Steps {
    Shared<int, 2, DEPTH> row, image;
    Shared<int, 2, RANK, DEPTH> place;
};

template <class Tile, int RANK, bool DIVIDED>
struct Windows {
    static constexpr int FIRST = MAX_SPATIAL - RANK;

    const Convolution& g;
    Steps<RANK, Tile::DEPTH>& steps;
    // First row and column of the tile, where the group begins, and where this part of the sum ends.
    uint32_t row, end;
    Global<const float> rows, image;
    // This thread's column: its part of the place, and whether there is one.
    int offset;
    int place[RANK];
    bool valid;

    __device__ __forceinline__ Windows(const Convolution& convolution, Steps<RANK, Tile::DEPTH>& memory, uint32_t group,
                                       uint32_t first_row, uint32_t first_column, uint32_t last)
        : g(convolution),
          steps(memory),
          row(first_row),
          end(last),
          rows(convolution.rows + size_t(group) * convolution.row_group),
          image(convolution.image + size_t(group) * convolution.image_group) {
        const uint32_t column = first_column + threadIdx.x % Tile::EXTENT;
        valid = column < g.n;
        offset = locate(g.columns, column, place);
    }

    // The place of a number, and the offset that goes with it.
    __device__ __forceinline__ int locate(const Walk& walk, uint32_t number, int (&at)[RANK]) const {
        const uint32_t outer = number / walk.inner;
        uint32_t rest = number % walk.inner;
        int sum = outer * walk.outer;
#pragma unroll
        for (int axis = RANK - 1; axis >= 0; --axis) {
            const uint32_t position = rest % walk.extent[FIRST + axis];
            rest /= walk.extent[FIRST + axis];
            at[axis] = walk.start[FIRST + axis] + int(position) * walk.scale[FIRST + axis];
            // Divided places are not the sum of their parts.
            if (!DIVIDED) sum += at[axis] * g.stride[FIRST + axis];
        }
        return sum;
    }

    __device__ __forceinline__ void look_ahead(int slot, uint32_t k) {
        if (threadIdx.x >= Tile::DEPTH) return;
        const uint32_t number = k + threadIdx.x;
        int at[RANK];
        steps.image[slot][threadIdx.x] = locate(g.steps, number, at);
        steps.row[slot][threadIdx.x] = number / g.steps.inner * g.row_outer + number % g.steps.inner;
#pragma unroll
        for (int axis = 0; axis < RANK; ++axis) steps.place[slot][axis][threadIdx.x] = at[axis];
    }

    __device__ __forceinline__ void fetch(typename Tile::Memory& memory, int slot, uint32_t k) {
        constexpr int DEPTH = Tile::DEPTH, EXTENT = Tile::EXTENT;
        {
            const int depth = threadIdx.x % DEPTH;
            const int step = steps.row[slot][depth];
#pragma unroll
            for (int i = threadIdx.x / DEPTH; i < EXTENT; i += TILE_THREADS / DEPTH) {
                const bool there = row + i < g.m && k + depth < end;
                copy_async(memory.a[slot][depth], i, rows, size_t(row + i) * g.row_stride + step, there);
            }
        }
        const int column = threadIdx.x % EXTENT;
#pragma unroll
        for (int depth = threadIdx.x / EXTENT; depth < DEPTH; depth += TILE_THREADS / EXTENT) {
            bool inside = valid && k + depth < end;
            int where = offset + steps.image[slot][depth];
#pragma unroll
            for (int axis = 0; axis < RANK; ++axis) {
                int at = place[axis] + steps.place[slot][axis][depth];
                if (DIVIDED) {
                    const int whole = at / g.divisor[FIRST + axis];
                    inside = inside && whole * g.divisor[FIRST + axis] == at;
                    at = whole;
                    where += at * g.stride[FIRST + axis];
                }
                inside = inside && at >= 0 && at < g.extent[FIRST + axis];
            }
            copy_async(memory.b[slot][depth], column, image, where, inside);
        }
    }
};

template <class Tile, int RANK, bool DIVIDED>
__device__ __forceinline__ void convolve(const Convolution& g) {
    __shared__ typename Tile::Memory memory;
    __shared__ Steps<RANK, Tile::DEPTH> steps;
    const uint32_t row = blockIdx.y * Tile::EXTENT, column = blockIdx.x * Tile::EXTENT;
    const uint32_t split = blockIdx.z % g.splits, group = blockIdx.z / g.splits;
    const uint32_t from = split * g.part, to = from + g.part < g.k ? from + g.part : g.k;
    Windows<Tile, RANK, DIVIDED> source(g, steps, group, row, column, to);
    Tile tile;
    multiply_slices(tile, source, memory, from, to);
    const size_t start = size_t(group) * g.result_group + size_t(split) * g.part_stride;
    tile.each([&](int i, int j, float sum) {
        const uint32_t r = row + i, n = column + j;
        if (r >= g.m || n >= g.n) return;
        const uint32_t outer = n / g.columns.inner, inner = n % g.columns.inner;
        const size_t index = start + size_t(r) * g.result_row + size_t(outer) * g.result_outer + inner;
        if (g.part_stride == 0) {
            finish(g.epilogue, sum, g.result, index);
        } else {
            g.result[index] = sum;
        }
    });
}

typedef Plain<8, 8> Large;
typedef Plain<4, 16> Small;
