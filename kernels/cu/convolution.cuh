// Convolution, its two gradients, and deconvolution, as one product: nothing is laid out as columns. All groups in one launch,
// any stride, padding and dilation, up to six spatial axes.
//
// What the three passes have in common: a column n of the result and a step k of the sum each have a place along the spatial
// axes, and the element that they meet in lies at the sum of both, or is zero where that is outside. The launch code says how
// the places come about (kernels/src/device/implicit_gemm.rs).

// How a number (a column, or a step of the sum) becomes a place: outer index and position along each axis.
struct Walk {
    // Outer indices, and extents of the axes.
    uint32_t count, extent[MAX_SPATIAL];
    // From one position to the next: of the place along each axis.
    int scale[MAX_SPATIAL];
    // Floats of the image from one outer index to the next.
    uint32_t outer;
    // Floats from one position and from one outer index to the next of what else is walked along: of the result by columns, of
    // the other operand by steps.
    uint32_t other[MAX_SPATIAL], other_outer;
};

// The product taken apart, where not every column meets every step: kernels/src/device/phases.rs says how and why.
struct Phases {
    uint32_t count[MAX_SPATIAL], stride[MAX_SPATIAL], dilation[MAX_SPATIAL];
    uint32_t common[MAX_SPATIAL], period[MAX_SPATIAL], inverse[MAX_SPATIAL];
};

struct Convolution {
    // Rows of one group's product; its columns and the steps of its sum.
    uint32_t m;
    Walk columns, steps;
    // Place of the first column.
    int start[MAX_SPATIAL];
    Phases phases;
    // The image that is seen through windows: extents, and floats from one position to the next.
    int extent[MAX_SPATIAL], stride[MAX_SPATIAL];
    Global<const float> image;
    // The other operand: floats from one row to the next.
    Global<const float> rows;
    uint32_t row_stride;
    // Floats from one group to the next, of the image, the other operand and the result.
    uint32_t image_group, row_group, result_group;
    // The result: floats from one row to the next.
    Global<float> result;
    uint32_t result_row;
    // Tiles across, of all phases, and down; parts of the sum. A block's index is
    // ((group · splits + split) · down + tile's row) · across + (tile's column · phases + phase), as in gemm.cuh.
    uint32_t across, down, splits;
    uint32_t part, part_stride;
    Epilogue epilogue;
};

// A phase of the product: all of it, where there is one.
template <int RANK>
struct Phase {
    // Extents of the columns and of the steps, and the place of the first column.
    Shared<int, RANK> columns, steps, start;
    // Floats before the first column's in the result, and before the first step's in the other operand.
    Shared<int, 1> result, rows;
};

// What a step of the sum needs, computed once for the whole block.
template <int RANK, int DEPTH>
struct Steps {
    Shared<int, 2, DEPTH> rows, image;
    Shared<int, 2, RANK, DEPTH> place;
};

// What a block knows of the product: the results of absent columns are at -1.
template <class Tile, int RANK>
struct Block {
    Phase<RANK> phase;
    Steps<RANK, Tile::DEPTH> steps;
    Shared<int, Tile::EXTENT> result;
};

// A place, with the floats that go with it: of the image, and of what else is walked along.
template <int RANK>
struct Place {
    int image, other;
    int at[RANK];
};

// By the first thread, for the others to read behind a barrier.
template <int RANK>
__device__ __forceinline__ void find_phase(const Convolution& g, uint32_t number, Phase<RANK>& phase) {
    constexpr int FIRST = MAX_SPATIAL - RANK;
    if (threadIdx.x != 0) return;
    int result = 0, rows = 0;
#pragma unroll
    for (int axis = RANK - 1; axis >= 0; --axis) {
        const int of = FIRST + axis;
        uint32_t columns = g.columns.extent[of], steps = g.steps.extent[of];
        int start = g.start[of];
        const uint32_t stride = g.phases.stride[of];
        if (stride > 1) {
            const uint32_t pixel = number % g.phases.count[of], period = g.phases.period[of];
            number /= g.phases.count[of];
            columns = (columns - pixel + stride - 1) / stride;
            const uint32_t rest = (pixel + start) % stride, common = g.phases.common[of];
            const uint32_t tap = uint64_t(rest / common) * g.phases.inverse[of] % period;
            if (rest % common == 0 && tap < steps) {
                steps = (steps - tap + period - 1) / period;
                start = (int(pixel) + start - int(tap * g.phases.dilation[of])) / int(stride);
            } else {
                steps = 0;
            }
            result += pixel * (g.columns.other[of] / stride);
            rows += tap * (g.steps.other[of] / period);
        }
        phase.columns[axis] = columns;
        phase.steps[axis] = steps;
        phase.start[axis] = start;
    }
    phase.result[0] = result;
    phase.rows[0] = rows;
}

template <class Tile, int RANK>
struct Windows {
    static constexpr int FIRST = MAX_SPATIAL - RANK;

    const Convolution& g;
    Block<Tile, RANK>& block;
    // First row of the tile, and where this part of the sum ends.
    uint32_t row, end;
    Global<const float> rows, image;
    // This thread's column: its place, and whether there is one.
    int offset;
    int place[RANK];
    bool valid;

    __device__ __forceinline__ Windows(const Convolution& convolution, Block<Tile, RANK>& memory, uint32_t group,
                                       uint32_t first_row, uint32_t column, bool there, uint32_t last)
        : g(convolution),
          block(memory),
          row(first_row),
          end(last),
          rows(convolution.rows + size_t(group) * convolution.row_group),
          image(convolution.image + size_t(group) * convolution.image_group),
          valid(there) {
        const Place<RANK> found = locate(g.columns, block.phase.columns, column);
        offset = found.image;
#pragma unroll
        for (int axis = 0; axis < RANK; ++axis) {
            const int start = block.phase.start[axis];
            place[axis] = start + found.at[axis];
            offset += start * g.stride[FIRST + axis];
        }
        if (threadIdx.x < Tile::EXTENT) block.result[threadIdx.x] = valid ? block.phase.result[0] + found.other : -1;
    }

    __device__ __forceinline__ Place<RANK> locate(const Walk& walk, Shared<int, RANK>& extents, uint32_t number) const {
        Place<RANK> found;
        found.image = found.other = 0;
#pragma unroll
        for (int axis = RANK - 1; axis >= 0; --axis) {
            const uint32_t extent = extents[axis], position = number % extent;
            number /= extent;
            found.at[axis] = int(position) * walk.scale[FIRST + axis];
            found.image += found.at[axis] * g.stride[FIRST + axis];
            found.other += position * walk.other[FIRST + axis];
        }
        found.image += number * walk.outer;
        found.other += number * walk.other_outer;
        return found;
    }

    __device__ __forceinline__ void look_ahead(int slot, uint32_t k) {
        if (threadIdx.x >= Tile::DEPTH) return;
        Place<RANK> step = {};
        // A phase may have no steps to be located among.
        if (k + threadIdx.x < end) step = locate(g.steps, block.phase.steps, k + threadIdx.x);
        block.steps.image[slot][threadIdx.x] = step.image;
        block.steps.rows[slot][threadIdx.x] = block.phase.rows[0] + step.other;
#pragma unroll
        for (int axis = 0; axis < RANK; ++axis) block.steps.place[slot][axis][threadIdx.x] = step.at[axis];
    }

    __device__ __forceinline__ void fetch(typename Tile::Memory& memory, int slot, uint32_t k) {
        constexpr int DEPTH = Tile::DEPTH, EXTENT = Tile::EXTENT;
        {
            const int depth = threadIdx.x % DEPTH;
            const int step = block.steps.rows[slot][depth];
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
            const int where = offset + block.steps.image[slot][depth];
#pragma unroll
            for (int axis = 0; axis < RANK; ++axis) {
                const int at = place[axis] + block.steps.place[slot][axis][depth];
                inside = inside && at >= 0 && at < g.extent[FIRST + axis];
            }
            copy_async(memory.b[slot][depth], column, image, where, inside);
        }
    }
};

// The blocks of a tile of all phases are neighbours: they read the same of the image, and write into the same lines.
template <class Tile, int RANK>
__device__ __forceinline__ void convolve(const Convolution& g) {
    constexpr int FIRST = MAX_SPATIAL - RANK;
    __shared__ typename Tile::Memory memory;
    __shared__ Block<Tile, RANK> block;
    uint32_t phases = 1;
#pragma unroll
    for (int axis = 0; axis < RANK; ++axis) phases *= g.phases.count[FIRST + axis];
    const uint32_t place = blockIdx.x % g.across, line = blockIdx.x / g.across, plane = line / g.down;
    find_phase(g, place % phases, block.phase);
    __syncthreads();
    uint32_t n = g.columns.count, k = g.steps.count;
#pragma unroll
    for (int axis = 0; axis < RANK; ++axis) {
        n *= block.phase.columns[axis];
        k *= block.phase.steps[axis];
    }
    const uint32_t row = line % g.down * Tile::EXTENT, first_column = place / phases * Tile::EXTENT;
    // Phases have less than the largest.
    if (first_column >= n) return;
    const uint32_t split = plane % g.splits, group = plane / g.splits;
    const uint32_t from = split * g.part, to = from + g.part < k ? from + g.part : k;
    const uint32_t column = first_column + threadIdx.x % Tile::EXTENT;
    Windows<Tile, RANK> source(g, block, group, row, column, column < n, to);
    Tile tile;
    multiply_slices(tile, source, memory, from, to);
    const size_t start = size_t(group) * g.result_group + size_t(split) * g.part_stride;
    tile.each([&](int i, int j, float sum) {
        const int at = block.result[j];
        if (row + i >= g.m || at < 0) return;
        const size_t index = start + size_t(row + i) * g.result_row + at;
        if (g.part_stride == 0) {
            finish(g.epilogue, sum, g.result, index);
        } else {
            g.result[index] = sum;
        }
    });
}

typedef Plain<8, 8> Large;
typedef Plain<4, 16> Small;
