// Losses of scores x, samples×classes×inner, and labels, samples×inner; and the share of right labels. A thread has a place.

enum LabelLoss : uint32_t { SOFTMAX, MULTINOMIAL, INFOGAIN, HINGE, SQUARED_HINGE, ACCURACY };

struct Labels {
    uint32_t samples, classes, inner;
    uint32_t loss;
    uint32_t ignores;
    int ignored;
    uint32_t top_k;
};

// The least probabilities that have a logarithm: FLT_MIN, and in Caffe's older losses 1e-20.
constexpr float LEAST = 1.175494351e-38f, LEAST_OF_OLD = 1e-20f;

// Not a maximum, which would hide what is not a number.
__device__ __forceinline__ float at_least(float value, float least) { return value < least ? least : value; }

// The class that a label names, or −1.
__device__ __forceinline__ int class_of(const Labels& g, float label) {
    const int index = whole(label);
    return label == label && index >= 0 && uint32_t(index) < g.classes ? index : -1;
}

// Where the first class's score of a place is.
__device__ __forceinline__ size_t first_score(const Labels& g, uint32_t place) {
    return size_t(place / g.inner) * g.classes * g.inner + place % g.inner;
}

// What a score lacks to 1 on its side of 0.
__device__ __forceinline__ float margin(float score, bool is_label) {
    const float lacks = 1.0f + (is_label ? -score : score);
    return lacks > 0.0f ? lacks : 0.0f;
}

// Whether fewer than top_k other scores are as high as the label's. What is not a number is not as high as itself: it is right, as
// in Caffe.
__device__ __forceinline__ bool is_right(const Labels& g, Global<const float> x, size_t at, uint32_t label) {
    const float own = x[at + size_t(label) * g.inner];
    uint32_t as_high = 0;
    for (uint32_t c = 0; c < g.classes; ++c) as_high += x[at + size_t(c) * g.inner] >= own ? 1 : 0;
    return as_high <= g.top_k;
}

__device__ __forceinline__ double loss_of(const Labels& g, Global<const float> x, Global<const float> matrix, size_t at,
                                          uint32_t label) {
    if (g.loss == SOFTMAX || g.loss == MULTINOMIAL) {
        const float least = g.loss == SOFTMAX ? LEAST : LEAST_OF_OLD;
        return -log(double(at_least(x[at + size_t(label) * g.inner], least)));
    }
    if (g.loss == ACCURACY) return is_right(g, x, at, label) ? 1.0 : 0.0;
    double sum = 0.0;
    for (uint32_t c = 0; c < g.classes; ++c) {
        const float score = x[at + size_t(c) * g.inner];
        if (g.loss == INFOGAIN) {
            sum -= double(matrix[size_t(label) * g.classes + c]) * log(double(at_least(score, LEAST_OF_OLD)));
        } else {
            const double lacks = margin(score, c == label);
            sum += g.loss == HINGE ? lacks : lacks * lacks;
        }
    }
    return sum;
}

// Of up to 256 blocks, each leaves its part for loss_total.
KERNEL(label_loss_parts, 256)
(Labels g, Global<const float> x, Global<const float> label, Global<const float> matrix, Global<double> sums,
 Global<uint32_t> counted, Global<uint32_t> faults) {
    Found found = {0.0, 0, NO_FAULT};
    for (uint32_t place = first(); place < g.samples * g.inner; place += step()) {
        const float given = label[place];
        if (is_ignored(g.ignores, g.ignored, given)) continue;
        const int own = class_of(g, given);
        if (own < 0) {
            found.fault = place < found.fault ? place : found.fault;
            continue;
        }
        found.sum += loss_of(g, x, matrix, first_score(g, place), own);
        found.counted += 1;
    }
    leave(found, sums, counted, faults);
}

// dx, a thread an element; 0 where the label is ignored, or names no class. Not of INFOGAIN.
KERNEL(label_loss_backward, 256)
(Labels g, uint32_t count, Global<const float> x, Global<const float> label, Global<const float> dloss,
 Global<const uint32_t> totals, Global<float> dx) {
    const float factor = gradient_factor(dloss, totals);
    for (uint32_t i = first(); i < count; i += step()) {
        const uint32_t c = i / g.inner % g.classes;
        const float given = label[i / g.inner / g.classes * g.inner + i % g.inner], score = x[i];
        const int own = is_ignored(g.ignores, g.ignored, given) ? -1 : class_of(g, given);
        const bool is_label = int(c) == own;
        float slope = 0.0f;
        if (own >= 0) {
            if (g.loss == SOFTMAX) {
                slope = is_label ? score - 1.0f : score;
            } else if (g.loss == MULTINOMIAL) {
                slope = is_label ? -1.0f / at_least(score, LEAST_OF_OLD) : 0.0f;
            } else {
                const float lacks = margin(score, is_label);
                const float size = g.loss == HINGE ? (lacks > 0.0f ? 1.0f : 0.0f) : 2.0f * lacks;
                slope = is_label ? -size : size;
            }
        }
        dx[i] = slope * factor;
    }
}

// The same of INFOGAIN, p · Σ H(label, ·) − H(label, class): a thread has a place, whose row of the matrix it sums once.
KERNEL(infogain_backward, 256)
(Labels g, Global<const float> x, Global<const float> label, Global<const float> matrix, Global<const float> dloss,
 Global<const uint32_t> totals, Global<float> dx) {
    const uint32_t place = first();
    if (place >= g.samples * g.inner) return;
    const float factor = gradient_factor(dloss, totals), given = label[place];
    const int own = is_ignored(g.ignores, g.ignored, given) ? -1 : class_of(g, given);
    const size_t at = first_score(g, place), row = size_t(own < 0 ? 0 : own) * g.classes;
    double sum = 0.0;
    if (own >= 0) {
        for (uint32_t c = 0; c < g.classes; ++c) sum += matrix[row + c];
    }
    for (uint32_t c = 0; c < g.classes; ++c) {
        const size_t i = at + size_t(c) * g.inner;
        dx[i] = own < 0 ? 0.0f : float(x[i] * sum - matrix[row + c]) * factor;
    }
}

// The share of right labels of each class: a block has a class.
KERNEL(accuracy_by_class, 256)(Labels g, Global<const float> x, Global<const float> label, Global<float> shares) {
    Found found = {0.0, 0, NO_FAULT};
    for (uint32_t place = threadIdx.x; place < g.samples * g.inner; place += blockDim.x) {
        const float given = label[place];
        if (is_ignored(g.ignores, g.ignored, given) || class_of(g, given) != int(blockIdx.x)) continue;
        found.sum += is_right(g, x, first_score(g, place), blockIdx.x) ? 1.0 : 0.0;
        found.counted += 1;
    }
    const Found all = of_block(found);
    if (threadIdx.x == 0) shares[blockIdx.x] = all.counted == 0 ? 0.0f : float(all.sum / double(all.counted));
}
