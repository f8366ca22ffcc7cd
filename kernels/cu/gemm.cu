// C = alpha · op(A) · op(B) + beta · C, for all four transposes, one product or a batch of them.
//
// The last of the versions that README.md goes through: 128×128 tiles, 8×8 sums a thread, slices that arrive by cp.async while
// the ones before are multiplied, the sum cut into parts where the result alone would not fill the device, TF32 on demand.

// One operand's slices: EXTENT rows (or columns) of which `extent` are there, DEPTH deep.
template <int EXTENT, int DEPTH>
struct Operand {
    Global<const float> from;
    uint32_t along, down, extent, end, aligned, run, next_run;

    template <int N>
    __device__ __forceinline__ void fetch(Shared<float, DEPTH, N>& slice, uint32_t k) const {
        const int thread = threadIdx.x;
        if (along == 1 && aligned) {
            // Four neighbours at once.
            constexpr int FOURS = EXTENT / 4;
            const int place = thread % FOURS * 4;
#pragma unroll
            for (int depth = thread / FOURS; depth < DEPTH; depth += TILE_THREADS / FOURS) {
                const bool valid = place < extent && k + depth < end;
                copy_async4(slice[depth], place, from, place + size_t(k + depth) * down, valid);
            }
        } else if (along == 1) {
            const int place = thread % EXTENT;
#pragma unroll
            for (int depth = thread / EXTENT; depth < DEPTH; depth += TILE_THREADS / EXTENT) {
                copy_async(slice[depth], place, from, place + size_t(k + depth) * down, place < extent && k + depth < end);
            }
        } else {
            // Neighbouring threads read along the sum, where the floats lie side by side.
            const int depth = thread % DEPTH;
            size_t step = size_t(k + depth) * down;
            if (run) step = size_t((k + depth) / run) * next_run + (k + depth) % run;
#pragma unroll
            for (int place = thread / DEPTH; place < EXTENT; place += TILE_THREADS / DEPTH) {
                const bool valid = place < extent && k + depth < end;
                copy_async(slice[depth], place, from, size_t(place) * along + step, valid);
            }
        }
    }
};

template <class Tile>
struct Operands {
    Operand<Tile::EXTENT, Tile::DEPTH> a, b;

    __device__ __forceinline__ void look_ahead(int, uint32_t) const {}

    __device__ __forceinline__ void fetch(typename Tile::Memory& memory, int slot, uint32_t k) const {
        a.fetch(memory.a[slot], k);
        b.fetch(memory.b[slot], k);
    }
};

template <class Tile>
__device__ __forceinline__ void gemm(const Gemm& g) {
    __shared__ typename Tile::Memory memory;
    const Part part = find_part<Tile::EXTENT>(g);
    Operands<Tile> source = {
        {part.a, g.a.along, g.a.down, g.m - part.row, part.to, g.a.aligned, g.a.run, g.a.next_run},
        {part.b, g.b.along, g.b.down, g.n - part.column, part.to, g.b.aligned, g.b.run, g.b.next_run},
    };
    Tile tile;
    multiply_slices(tile, source, memory, part.from, part.to);
    tile.each([&](int i, int j, float sum) { hand_over(g, part, i, j, sum); });
}

typedef Plain<8, 8> Large;
typedef Plain<4, 16> Small;

KERNEL(gemm_128, 256, 2)(Gemm g) { gemm<Large>(g); }

KERNEL(gemm_64, 256)(Gemm g) { gemm<Small>(g); }

KERNEL(gemm_tf32, 256)(Gemm g) { gemm<Tensor>(g); }

// Adds up the parts of a sum, in their order.
KERNEL(add_parts, 256)
(uint32_t count, uint32_t splits, Global<const float> parts, Epilogue epilogue, Global<float> c) {
    for (uint32_t i = first(); i < count; i += step()) {
        float sum = parts[i];
        for (uint32_t split = 1; split < splits; ++split) sum += parts[size_t(split) * count + i];
        finish(epilogue, sum, c, i);
    }
}
