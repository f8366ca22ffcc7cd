// Factors that follow from norms of many tensors, as clipping by the norm of all gradients has them, computed where they are
// used. First a block a piece sums squares; then a block a norm sums those of its pieces. All in f64, in an order that the
// sizes alone decide. 4 bytes a value, or 8 where values or decay count, for 2 flops in f64.

// What a factor follows from.
enum NormKind : uint32_t { CLIP, LARS };

struct Norm {
    uint32_t first, pieces;
    uint32_t kind, unused;
    double threshold, decay, eps;
};

template <bool VALUES>
__device__ __forceinline__ void squares(const Table<AnyRule>& table, Global<double> parts) {
    const Piece piece = table.pieces[blockIdx.x];
    const UpdatedTensor<AnyRule> tensor = table.tensors[piece.tensor];
    const Global<const float> value = at_address<const float>(tensor.value);
    const Global<const float> gradient = at_address<const float>(tensor.gradient);
    const uint32_t end = end_of(piece, tensor.length);
    double of_gradients = 0.0, of_values = 0.0;
    for (uint32_t i = piece.start + threadIdx.x; i < end; i += blockDim.x) {
        const double g = changed_gradient(table, piece, gradient, value, i);
        of_gradients += g * g;
        if (VALUES) {
            const double w = value[i];
            of_values += w * w;
        }
    }
    of_gradients = block_sum(of_gradients);
    if (threadIdx.x == 0) parts[blockIdx.x] = of_gradients;
    if (VALUES) {
        of_values = block_sum(of_values);
        if (threadIdx.x == 0) parts[gridDim.x + blockIdx.x] = of_values;
    }
}

// Σ g² of each piece.
KERNEL(gradient_squares, 256)(Table<AnyRule> table, Global<double> parts) { squares<false>(table, parts); }

// Σ g² of each piece, and behind those of all Σ w².
KERNEL(gradient_and_value_squares, 256)(Table<AnyRule> table, Global<double> parts) { squares<true>(table, parts); }

// The factor of each norm, from the sums of `pieces` pieces.
KERNEL(norm_factors, 256)(uint32_t pieces, Global<const Norm> norms, Global<const double> parts, Global<float> factors) {
    const Norm norm = norms[blockIdx.x];
    double of_gradients = 0.0, of_values = 0.0;
    for (uint32_t i = threadIdx.x; i < norm.pieces; i += blockDim.x) {
        of_gradients += parts[norm.first + i];
        if (norm.kind == LARS) of_values += parts[pieces + norm.first + i];
    }
    of_gradients = sqrt(block_sum(of_gradients));
    of_values = sqrt(block_sum(of_values));
    if (threadIdx.x != 0) return;
    float factor = 1.0f;
    if (norm.kind == CLIP) {
        if (of_gradients > norm.threshold) factor = float(norm.threshold / of_gradients);
    } else if (of_values > norm.threshold) {
        factor = float(of_values / (norm.eps + of_gradients + norm.decay * of_values));
    }
    factors[blockIdx.x] = factor;
}
