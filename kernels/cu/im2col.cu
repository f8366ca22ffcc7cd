// Windows laid out as columns, for whoever wants to see them: convolution does without.

struct Conv {
    uint32_t batch, input_channels, output_channels, group, rank;
    uint32_t input[MAX_SPATIAL], kernel[MAX_SPATIAL], stride[MAX_SPATIAL], pad[MAX_SPATIAL], dilation[MAX_SPATIAL];
};

struct Extents {
    uint32_t of[MAX_SPATIAL];
};

// y is planes×taps×output pixels.
KERNEL(im2col, 256)(Conv g, Extents output, uint32_t taps, uint32_t count, Global<const float> x, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        uint32_t pixel = i, tap = 0, plane = 0, in_pixels = 1;
        uint32_t positions[MAX_SPATIAL];
        for (int axis = MAX_SPATIAL - 1; axis >= 0; --axis) {
            positions[axis] = pixel % output.of[axis];
            pixel /= output.of[axis];
            in_pixels *= g.input[axis];
        }
        tap = pixel % taps;
        plane = pixel / taps;
        int place = 0, scale = 1;
        bool inside = true;
        for (int axis = MAX_SPATIAL - 1; axis >= 0; --axis) {
            const int at = int(positions[axis] * g.stride[axis] + tap % g.kernel[axis] * g.dilation[axis]) - int(g.pad[axis]);
            tap /= g.kernel[axis];
            inside = inside && at >= 0 && at < int(g.input[axis]);
            place += at * scale;
            scale *= g.input[axis];
        }
        y[i] = inside ? x[size_t(plane) * in_pixels + place] : 0.0f;
    }
}

// Each pixel gathers its copies, tap by tap.
KERNEL(im2col_backward, 256)
(Conv g, Extents output, uint32_t taps, uint32_t count, Global<const float> dy, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        uint32_t plane = i, out_pixels = 1;
        uint32_t positions[MAX_SPATIAL];
        for (int axis = MAX_SPATIAL - 1; axis >= 0; --axis) {
            positions[axis] = plane % g.input[axis];
            plane /= g.input[axis];
            out_pixels *= output.of[axis];
        }
        float sum = 0.0f;
        for (uint32_t tap = 0; tap < taps; ++tap) {
            uint32_t rest = tap, place = 0, scale = 1;
            bool inside = true;
            for (int axis = MAX_SPATIAL - 1; axis >= 0; --axis) {
                const int at = int(positions[axis] + g.pad[axis]) - int(rest % g.kernel[axis] * g.dilation[axis]);
                rest /= g.kernel[axis];
                const uint32_t window = uint32_t(at) / g.stride[axis];
                inside = inside && at >= 0 && window * g.stride[axis] == uint32_t(at) && window < output.of[axis];
                place += window * scale;
                scale *= output.of[axis];
            }
            if (inside) sum += dy[(size_t(plane) * taps + tap) * out_pixels + place];
        }
        dx[i] = sum;
    }
}
