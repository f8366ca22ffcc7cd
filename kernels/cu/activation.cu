// Functions of one number, and their gradients: kernels::Activation, one kernel each way.

enum Function : uint32_t {
    IDENTITY,
    RELU,
    LEAKY_RELU,
    CLIP,
    ELU,
    SIGMOID,
    TANH,
    ABS_VAL,
    BNLL,
    POWER,
    EXP,
    LOG,
    SWISH,
    THRESHOLD,
};

// The function, and up to three numbers that belong to it.
struct Activation {
    uint32_t function;
    float a, b, c;
};

__device__ __forceinline__ float apply(const Activation& f, float x) {
    switch (f.function) {
        case RELU: return x < 0.0f ? 0.0f : x;
        case LEAKY_RELU: return leaky_relu(f.a, x);
        case CLIP: return clip(f.a, f.b, x);
        case ELU: return x > 0.0f ? x : f.a * (expf(x) - 1.0f);
        case SIGMOID: return sigmoid(x);
        case TANH: return tanhf(x);
        case ABS_VAL: return fabsf(x);
        case BNLL: return (x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x)));
        case POWER: {
            // (c + b · x) ^ a; the powers that nets use have forms of their own.
            const float base = f.c + f.b * x;
            return f.a == 1.0f ? base : f.a == 2.0f ? base * base : powf(base, f.a);
        }
        // a · e^(b · x), and log(c + b · x) · a.
        case EXP: return f.a * expf(f.b * x);
        case LOG: return logf(f.c + f.b * x) * f.a;
        case SWISH: return x * sigmoid(f.a * x);
        case THRESHOLD: return x > f.a ? 1.0f : 0.0f;
        default: return x;
    }
}

// From x or y, whichever Activation::gradient_from names. At kinks it is Caffe's.
__device__ __forceinline__ float derivative(const Activation& f, float s) {
    switch (f.function) {
        case RELU: return s > 0.0f ? 1.0f : 0.0f;
        case LEAKY_RELU: return s > 0.0f ? 1.0f : f.a;
        // Relu6 is 0 at its ends, Clip is not: c says which.
        case CLIP: return f.c != 0.0f ? (s > f.a && s < f.b ? 1.0f : 0.0f) : (s >= f.a && s <= f.b ? 1.0f : 0.0f);
        case ELU: return s > 0.0f ? 1.0f : s + f.a;
        case SIGMOID: return s * (1.0f - s);
        case TANH: return 1.0f - s * s;
        case ABS_VAL: return s > 0.0f ? 1.0f : s < 0.0f ? -1.0f : 0.0f;
        case BNLL: return sigmoid(s);
        case POWER: {
            const float base = f.c + f.b * s;
            return f.a * f.b * (f.a == 2.0f ? base : powf(base, f.a - 1.0f));
        }
        case EXP: return f.b * s;
        case LOG: return f.a * f.b / (f.c + f.b * s);
        case SWISH: {
            const float gate = sigmoid(f.a * s);
            return gate + f.a * s * gate * (1.0f - gate);
        }
        default: return 1.0f;
    }
}

KERNEL(activation_forward, 256)(Activation f, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] = apply(f, x[i]);
}

KERNEL(activation_backward, 256)
(Activation f, uint32_t count, Global<const float> source, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) dx[i] = dy[i] * derivative(f, source[i]);
}

// Of a derivative that is the same everywhere.
KERNEL(scale_by, 256)(float factor, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) y[i] = factor * x[i];
}
