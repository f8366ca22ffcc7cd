// Losses of two arrays a and b, samples×length: all but CONTRASTIVE element by element, a thread an element; of CONTRASTIVE a block
// has a sample, whose distance it sums in f64.

enum PairLoss : uint32_t { EUCLIDEAN, SMOOTH_L1, SIGMOID_CROSS_ENTROPY, CONTRASTIVE };

struct Pairs {
    uint32_t samples, length;
    uint32_t loss;
    // σ² or the margin.
    float number;
    // Whether a target is ignored, and which; or whether it is the first version of CONTRASTIVE.
    uint32_t flag;
    int ignored;
};

__device__ __forceinline__ float weight(Global<const float> weights, uint32_t i) { return weights ? float(weights[i]) : 1.0f; }

// Of up to 256 blocks, each leaves its part for loss_total.
KERNEL(pair_loss_parts, 256)
(Pairs g, Global<const float> a, Global<const float> b, Global<const float> inside, Global<const float> outside,
 Global<double> sums, Global<uint32_t> counted, Global<uint32_t> faults) {
    Found found = {0.0, 0, NO_FAULT};
    for (uint32_t i = first(); i < g.samples * g.length; i += step()) {
        const float left = a[i], right = b[i];
        if (g.loss == EUCLIDEAN) {
            const double difference = left - right;
            found.sum += 0.5 * difference * difference;
        } else if (g.loss == SMOOTH_L1) {
            const float difference = fabsf((left - right) * weight(inside, i));
            const bool is_near = difference < 1.0f / g.number;
            const float loss = is_near ? 0.5f * difference * difference * g.number : difference - 0.5f / g.number;
            found.sum += loss * weight(outside, i);
        } else if (!is_ignored(g.flag, g.ignored, right)) {
            const float above = left > 0.0f ? left : 0.0f;
            found.sum += double(above - left * right) + log1pf(expf(-fabsf(left)));
            found.counted += 1;
        }
    }
    leave(found, sums, counted, faults);
}

// dx = sign · slope · the loss's gradient over the divisor; the sign is −1 for b.
KERNEL(pair_loss_backward, 256)
(Pairs g, float sign, Global<const float> a, Global<const float> b, Global<const float> inside, Global<const float> outside,
 Global<const float> dloss, Global<const uint32_t> totals, Global<float> dx) {
    const float factor = sign * gradient_factor(dloss, totals);
    for (uint32_t i = first(); i < g.samples * g.length; i += step()) {
        const float left = a[i], right = b[i];
        float slope = left - right;
        if (g.loss == SMOOTH_L1) {
            const float within = weight(inside, i), difference = slope * within;
            const float side = difference > 0.0f ? 1.0f : difference < 0.0f ? -1.0f : 0.0f;
            slope = (fabsf(difference) < 1.0f / g.number ? difference * g.number : side) * within * weight(outside, i);
        } else if (g.loss == SIGMOID_CROSS_ENTROPY) {
            slope = is_ignored(g.flag, g.ignored, right) ? 0.0f : sigmoid(left) - right;
        }
        dx[i] = slope * factor;
    }
}

__device__ __forceinline__ double squared_distance(const Pairs& g, Global<const float> a, Global<const float> b, uint32_t sample) {
    double sum = 0.0;
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const float difference = a[size_t(sample) * g.length + i] - b[size_t(sample) * g.length + i];
        sum += double(difference) * difference;
    }
    return block_sum(sum);
}

// Like samples cost their squared distance, others what is missing to the margin. A mark is read as a whole number.
KERNEL(contrastive_parts, 256)
(Pairs g, Global<const float> a, Global<const float> b, Global<const float> alike, Global<double> sums,
 Global<uint32_t> counted, Global<uint32_t> faults) {
    Found found = {0.0, 0, NO_FAULT};
    for (uint32_t sample = blockIdx.x; sample < g.samples; sample += gridDim.x) {
        const double squared = squared_distance(g, a, b, sample);
        if (threadIdx.x != 0) continue;
        const double lacks = double(g.number) - (g.flag ? squared : sqrt(squared));
        const double missing = lacks > 0.0 ? lacks : 0.0;
        found.sum += 0.5 * (whole(alike[sample]) != 0 ? squared : g.flag ? missing : missing * missing);
    }
    leave(found, sums, counted, faults);
}

KERNEL(contrastive_backward, 256)
(Pairs g, float sign, Global<const float> a, Global<const float> b, Global<const float> alike, Global<const float> dloss,
 Global<const uint32_t> totals, Global<float> dx) {
    const uint32_t sample = blockIdx.x;
    const double squared = squared_distance(g, a, b, sample), distance = sqrt(squared);
    double slope = 0.0;
    if (whole(alike[sample]) != 0) {
        slope = 1.0;
    } else if (g.flag) {
        slope = g.number - squared > 0.0 ? -1.0 : 0.0;
    } else if (g.number - distance > 0.0) {
        // Caffe adds 1e-4 to the distance it divides by.
        slope = -(g.number - distance) / (distance + 1e-4);
    }
    const float factor = float(slope * sign * double(dloss[0]) / double(totals[0]));
    for (uint32_t i = threadIdx.x; i < g.length; i += blockDim.x) {
        const size_t at = size_t(sample) * g.length + i;
        dx[at] = factor * (a[at] - b[at]);
    }
}
