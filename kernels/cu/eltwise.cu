// Element-by-element combinations of several arrays.

enum Combination : uint32_t { SUM, PRODUCT, MAX };

struct Inputs {
    Global<const float> x[MAX_INPUTS];
    float coefficient[MAX_INPUTS];
    uint32_t count;
    uint32_t op;
};

KERNEL(eltwise_forward, 256)(Inputs inputs, uint32_t count, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const float start = inputs.x[0][i];
        float value = inputs.op == SUM ? inputs.coefficient[0] * start : start;
        for (uint32_t input = 1; input < inputs.count; ++input) {
            const float x = inputs.x[input][i];
            if (inputs.op == SUM) {
                value += inputs.coefficient[input] * x;
            } else if (inputs.op == PRODUCT) {
                value *= x;
            } else if (input == 1) {
                // Of equals in the first pair, the later.
                value = value > x ? value : x;
            } else {
                value = x > value ? x : value;
            }
        }
        y[i] = value;
    }
}

// With respect to input `index`. Of a product it is dy times the other inputs, or where y is given dy · y / x.
KERNEL(eltwise_backward, 256)
(Inputs inputs, uint32_t index, uint32_t count, Global<const float> y, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        float gradient = dy[i];
        if (inputs.op == SUM) {
            gradient *= inputs.coefficient[index];
        } else if (inputs.op == PRODUCT && y) {
            gradient *= y[i] / inputs.x[index][i];
        } else if (inputs.op == PRODUCT) {
            for (uint32_t input = 0; input < inputs.count; ++input) {
                if (input != index) gradient *= inputs.x[input][i];
            }
        } else {
            float best = inputs.x[0][i];
            uint32_t winner = 0;
            for (uint32_t input = 1; input < inputs.count; ++input) {
                const float x = inputs.x[input][i];
                const bool stays = input == 1 ? best > x : best >= x;
                if (!stays) {
                    best = x;
                    winner = input;
                }
            }
            gradient = winner == index ? gradient : gradient * 0.0f;
        }
        dx[i] = gradient;
    }
}
