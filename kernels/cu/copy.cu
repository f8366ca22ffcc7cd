// A box of elements copied between free strides on both sides: kernels::CopyGeometry.

struct Copy {
    uint32_t rank;
    uint32_t extent[MAX_AXES];
    uint32_t source_stride[MAX_AXES];
    uint32_t target_stride[MAX_AXES];
    uint32_t source_offset, target_offset;
};

KERNEL(copy_box, 256)(Copy g, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        uint32_t rest = i, source = g.source_offset, target = g.target_offset;
        for (int axis = int(g.rank) - 1; axis >= 0; --axis) {
            const uint32_t position = rest % g.extent[axis];
            rest /= g.extent[axis];
            source += position * g.source_stride[axis];
            target += position * g.target_stride[axis];
        }
        y[target] = x[source];
    }
}

// The way back. `kept` has the axes with steps in the source, `repeated` those without, over which is summed.
KERNEL(copy_box_backward, 256)
(Copy kept, Copy repeated, uint32_t count, uint32_t copies, uint32_t accumulate, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        uint32_t rest = i, source = kept.source_offset, target = kept.target_offset;
        for (int axis = int(kept.rank) - 1; axis >= 0; --axis) {
            const uint32_t position = rest % kept.extent[axis];
            rest /= kept.extent[axis];
            source += position * kept.source_stride[axis];
            target += position * kept.target_stride[axis];
        }
        float sum = accumulate ? float(dx[source]) : 0.0f;
        for (uint32_t copy = 0; copy < copies; ++copy) {
            uint32_t left = copy, place = target;
            for (int axis = int(repeated.rank) - 1; axis >= 0; --axis) {
                place += left % repeated.extent[axis] * repeated.target_stride[axis];
                left /= repeated.extent[axis];
            }
            sum += dy[place];
        }
        dx[source] = sum;
    }
}
