// Optimizers: every rule updates all tensors in one launch, with decay, clamps and clipping inside. A block works on a piece
// of 8192 values, as the table says. A value is read and written once, its gradient read once, each array of its rule read and
// written once: 12 + 8 · arrays bytes a value, for some 2 to 20 flops.
//
// The formulas are the processor's, operation by operation. On the emulator so are the bits; for a GPU the compiler makes one
// operation of a multiplication and the addition that follows, which rounds once where the processor rounds twice.
//
// A rule's numbers are those of the enum UpdateRule in src/update.rs, which has its formula, in the same order.

struct Sgd {
    static constexpr int STATE = 0;
    float rate;

    __device__ __forceinline__ void move(float& w, float g, float*) const { w -= rate * g; }
};

struct MomentumSgd {
    static constexpr int STATE = 1;
    float rate, momentum;

    __device__ __forceinline__ void move(float& w, float g, float* v) const {
        v[0] = momentum * v[0] + rate * g;
        w -= v[0];
    }
};

struct CorrectedMomentumSgd {
    static constexpr int STATE = 1;
    float rate, momentum;

    __device__ __forceinline__ void move(float& w, float g, float* v) const {
        v[0] = momentum * v[0] + g;
        w -= rate * v[0];
    }
};

struct Nesterov {
    static constexpr int STATE = 1;
    float rate, momentum;

    __device__ __forceinline__ void move(float& w, float g, float* v) const {
        const float before = v[0];
        v[0] = momentum * before + rate * g;
        w -= (1.0f + momentum) * v[0] - momentum * before;
    }
};

struct NesterovAhead {
    static constexpr int STATE = 1;
    float rate, momentum, square, ahead;

    __device__ __forceinline__ void move(float& w, float g, float* v) const {
        v[0] = momentum * v[0] + rate * g;
        w -= square * v[0] + ahead * g;
    }
};

struct AdaGrad {
    static constexpr int STATE = 1;
    float rate, eps;

    __device__ __forceinline__ void move(float& w, float g, float* h) const {
        h[0] += g * g;
        w -= rate * g / (sqrtf(h[0]) + eps);
    }
};

struct AdaDelta {
    static constexpr int STATE = 2;
    float rate, eps, old, fresh;

    __device__ __forceinline__ void move(float& w, float g, float* s) const {
        s[0] = old * s[0] + fresh * g * g;
        const float d = sqrtf((s[1] + eps) / (s[0] + eps)) * g;
        s[1] = old * s[1] + fresh * d * d;
        w -= rate * d;
    }
};

template <bool EPS_INSIDE>
struct RmsProp {
    static constexpr int STATE = 1;
    float rate, eps, old, fresh;

    __device__ __forceinline__ void move(float& w, float g, float* h) const {
        h[0] = old * h[0] + fresh * g * g;
        w -= rate * g / (EPS_INSIDE ? sqrtf(h[0] + eps) : sqrtf(h[0]) + eps);
    }
};

struct RmsPropGraves {
    static constexpr int STATE = 3;
    float rate, momentum, eps, old, fresh;

    __device__ __forceinline__ void move(float& w, float g, float* s) const {
        s[0] = old * s[0] + fresh * g * g;
        s[1] = old * s[1] + fresh * g;
        s[2] = momentum * s[2] - rate * g / sqrtf(s[0] - s[1] * s[1] + eps);
        w += s[2];
    }
};

struct Smorms3 {
    static constexpr int STATE = 3;
    float rate, eps;

    __device__ __forceinline__ void move(float& w, float g, float* s) const {
        const float r = 1.0f / (s[0] + 1.0f);
        s[1] = (1.0f - r) * s[1] + r * g;
        s[2] = (1.0f - r) * s[2] + r * g * g;
        const float x = s[1] * s[1] / (s[2] + eps);
        // Before the division and the root, across which it would have to be kept.
        s[0] = 1.0f + s[0] * (1.0f - x);
        w -= g * fminf(x, rate) / (sqrtf(s[2]) + eps);
    }
};

template <bool AMSGRAD, bool BOUNDED>
struct Adam {
    static constexpr int STATE = AMSGRAD ? 3 : 2;
    float rate, first, second, eps, eta, kept, lower, upper;

    __device__ __forceinline__ void move(float& w, float g, float* s) const {
        s[0] += first * (g - s[0]);
        s[1] += second * (g * g - s[1]);
        if (AMSGRAD) s[STATE - 1] = fmaxf(s[STATE - 1], s[1]);
        float scale = rate / (sqrtf(s[STATE - 1]) + eps);
        if (BOUNDED) scale = fminf(fmaxf(scale, lower), upper);
        w = kept * w - eta * (scale * s[0]);
    }
};

struct Msvag {
    static constexpr int STATE = 2;
    float rate, fresh, seen, unbiased, rho, eta, decay;

    __device__ __forceinline__ void move(float& w, float g, float* s) const {
        s[0] += fresh * (g - s[0]);
        s[1] += fresh * (g * g - s[1]);
        const float mean = s[0] / seen, square = s[1] / seen;
        const float mean2 = mean * mean;
        const float variance = (square - mean2) / unbiased;
        float factor = mean2 / (mean2 + rho * variance);
        // Not a number where both are 0, as at a gradient that has always been 0.
        factor = factor == factor ? fminf(fmaxf(factor, 0.0f), 1.0f) : 0.0f;
        w -= eta * (rate * mean * factor + decay * w);
    }
};

template <class RULE>
__device__ __forceinline__ void update(const Table<RULE>& table) {
    if (table.gate && table.gate[0] == 0) return;
    const Piece piece = table.pieces[blockIdx.x];
    const UpdatedTensor<RULE> tensor = table.tensors[piece.tensor];
    const Global<float> value = at_address<float>(tensor.value);
    const Global<const float> gradient = at_address<const float>(tensor.gradient);
    const uint32_t end = end_of(piece, tensor.length);
#pragma unroll 1
    for (uint32_t i = piece.start + threadIdx.x; i < end; i += blockDim.x) {
        float state[3];
        for (int array = 0; array < RULE::STATE; ++array) state[array] = at_address<float>(tensor.state[array])[i];
        const float g = changed_gradient(table, piece, gradient, value, i);
        float w = value[i];
        tensor.rule.move(w, g, state);
        value[i] = w;
        for (int array = 0; array < RULE::STATE; ++array) at_address<float>(tensor.state[array])[i] = state[array];
    }
}

KERNEL(update_sgd, 256)(Table<Sgd> table) { update(table); }

KERNEL(update_momentum_sgd, 256)(Table<MomentumSgd> table) { update(table); }

KERNEL(update_corrected_momentum_sgd, 256)(Table<CorrectedMomentumSgd> table) { update(table); }

KERNEL(update_nesterov, 256)(Table<Nesterov> table) { update(table); }

KERNEL(update_nesterov_ahead, 256)(Table<NesterovAhead> table) { update(table); }

KERNEL(update_ada_grad, 256)(Table<AdaGrad> table) { update(table); }

KERNEL(update_ada_delta, 256)(Table<AdaDelta> table) { update(table); }

KERNEL(update_rms_prop, 256)(Table<RmsProp<false>> table) { update(table); }

KERNEL(update_rms_prop_inside, 256)(Table<RmsProp<true>> table) { update(table); }

KERNEL(update_rms_prop_graves, 256)(Table<RmsPropGraves> table) { update(table); }

KERNEL(update_smorms3, 256)(Table<Smorms3> table) { update(table); }

KERNEL(update_adam, 256)(Table<Adam<false, false>> table) { update(table); }

KERNEL(update_ams_grad, 256)(Table<Adam<true, false>> table) { update(table); }

KERNEL(update_ada_bound, 256)(Table<Adam<false, true>> table) { update(table); }

KERNEL(update_ams_bound, 256)(Table<Adam<true, true>> table) { update(table); }

KERNEL(update_msvag, 256)(Table<Msvag> table) { update(table); }
