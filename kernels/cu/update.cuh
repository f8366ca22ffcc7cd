// What updates of many tensors have in common: the table that says what is done to each, and what happens to a gradient
// before its rule reads it. device/update.rs writes the table, with the same structs.

// Values of a tensor that one block works on.
constexpr uint32_t PIECE = 8192;

// One change of a gradient.
enum ChangeKind : uint32_t { SCALE, ADD_VALUE, ADD_SIGN, CLAMP, SCALE_BY };

struct Change {
    uint32_t kind;
    float a, b;
    // SCALE_BY: which of the factors.
    uint32_t factor;
};

// A block's work: a run of one tensor's values, and the changes that are made to its gradient by then.
struct Piece {
    uint32_t tensor, start;
    uint32_t first_change, changes;
    uint32_t noise;
};

// A tensor, and its rule with the numbers of this step.
template <class RULE>
struct UpdatedTensor {
    uint64_t value, gradient, state[3];
    uint32_t length, unused;
    union {
        RULE rule;
        float numbers[8];
    };
};

// Where norms are computed, rules do not matter.
struct AnyRule {
    float number;
};

template <class RULE>
struct Table {
    Global<const UpdatedTensor<RULE>> tensors;
    Global<const Piece> pieces;
    Global<const Change> changes;
    Global<const float> factors;
    // A word that is 0 where nothing may change (update_gate.cu), if there is one.
    Global<const uint32_t> gate;
};

__device__ __forceinline__ float sign(float x) { return float(x > 0.0f) - float(x < 0.0f); }

// Between both, at `upper` where they cross; not a number stays one.
__device__ __forceinline__ float between(float lower, float upper, float x) {
    const float above = x < lower ? lower : x;
    return above > upper ? upper : above;
}

// The gradient of value i after the piece's changes.
template <class RULE>
__device__ __forceinline__ float changed_gradient(
    const Table<RULE>& table, const Piece& piece, Global<const float> gradient, Global<const float> value, uint32_t i) {
    float g = gradient[i];
#pragma unroll 1
    for (uint32_t at = 0; at < piece.changes; ++at) {
        const Change change = table.changes[piece.first_change + at];
        switch (change.kind) {
            case SCALE: g *= change.a; break;
            case ADD_VALUE: g += change.a * value[i]; break;
            case ADD_SIGN: g += change.a * sign(value[i]); break;
            case CLAMP: g = between(change.a, change.b, g); break;
            case SCALE_BY: g *= table.factors[change.factor]; break;
        }
    }
    return g;
}

// Behind the piece's last value.
__device__ __forceinline__ uint32_t end_of(const Piece& piece, uint32_t length) {
    return length - piece.start < PIECE ? length : piece.start + PIECE;
}
