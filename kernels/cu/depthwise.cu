// Convolutions of two axes with one input channel a group, computed where they are: a product would leave its tiles empty. The
// weights are O×1×kernel, and O/I outputs see each input.

struct Depthwise {
    uint32_t batch, input_channels, output_channels;
    uint32_t input[2], output[2], kernel[2], stride[2], pad[2], dilation[2];
};

KERNEL(depthwise_forward, 256)
(Depthwise g, uint32_t count, Global<const float> weights, Global<const float> x, Epilogue epilogue, Global<float> y) {
    for (uint32_t i = first(); i < count; i += step()) {
        const int column = i % g.output[1], row = i / g.output[1] % g.output[0];
        const uint32_t plane = i / g.output[1] / g.output[0], channel = plane % g.output_channels;
        const uint32_t seen = channel / (g.output_channels / g.input_channels);
        const size_t image = (size_t(plane / g.output_channels) * g.input_channels + seen) * g.input[0] * g.input[1];
        const size_t taps = size_t(channel) * g.kernel[0] * g.kernel[1];
        const int top = row * int(g.stride[0]) - int(g.pad[0]), left = column * int(g.stride[1]) - int(g.pad[1]);
        float sum = 0.0f;
        for (int r = 0; r < int(g.kernel[0]); ++r) {
            const int y_place = top + r * int(g.dilation[0]);
            if (y_place < 0 || y_place >= int(g.input[0])) continue;
            for (int c = 0; c < int(g.kernel[1]); ++c) {
                const int x_place = left + c * int(g.dilation[1]);
                if (x_place < 0 || x_place >= int(g.input[1])) continue;
                sum += weights[taps + r * int(g.kernel[1]) + c] * x[image + y_place * int(g.input[1]) + x_place];
            }
        }
        finish(epilogue, sum, y, i);
    }
}

// Each pixel gathers what the outputs that saw it send back.
KERNEL(depthwise_backward_data, 256)
(Depthwise g, uint32_t count, Global<const float> weights, Global<const float> dy, Epilogue epilogue, Global<float> dx) {
    for (uint32_t i = first(); i < count; i += step()) {
        const int column = i % g.input[1], row = i / g.input[1] % g.input[0];
        const uint32_t plane = i / g.input[1] / g.input[0], channel = plane % g.input_channels;
        const uint32_t outputs = g.output_channels / g.input_channels;
        const uint32_t image = plane / g.input_channels;
        float sum = 0.0f;
        for (uint32_t o = channel * outputs; o < (channel + 1) * outputs; ++o) {
            const size_t taps = size_t(o) * g.kernel[0] * g.kernel[1];
            const size_t start = (size_t(image) * g.output_channels + o) * g.output[0] * g.output[1];
            for (int r = 0; r < int(g.kernel[0]); ++r) {
                const int down = row + int(g.pad[0]) - r * int(g.dilation[0]), out_row = down / int(g.stride[0]);
                if (down < 0 || out_row * int(g.stride[0]) != down || out_row >= int(g.output[0])) continue;
                for (int c = 0; c < int(g.kernel[1]); ++c) {
                    const int across = column + int(g.pad[1]) - c * int(g.dilation[1]);
                    const int out_column = across / int(g.stride[1]);
                    if (across < 0 || out_column * int(g.stride[1]) != across || out_column >= int(g.output[1])) continue;
                    sum += weights[taps + r * int(g.kernel[1]) + c] * dy[start + out_row * int(g.output[1]) + out_column];
                }
            }
        }
        finish(epilogue, sum, dx, i);
    }
}

// A block sums one tap's gradient over all images and pixels.
KERNEL(depthwise_backward_filter, 256)
(Depthwise g, Global<const float> x, Global<const float> dy, Epilogue epilogue, Global<float> dw) {
    const uint32_t taps = g.kernel[0] * g.kernel[1], o = blockIdx.x / taps, tap = blockIdx.x % taps;
    const uint32_t seen = o / (g.output_channels / g.input_channels), pixels = g.output[0] * g.output[1];
    const int down = int(tap / g.kernel[1] * g.dilation[0]) - int(g.pad[0]);
    const int across = int(tap % g.kernel[1] * g.dilation[1]) - int(g.pad[1]);
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < g.batch * pixels; i += blockDim.x) {
        const uint32_t image = i / pixels, pixel = i % pixels;
        const int row = int(pixel / g.output[1] * g.stride[0]) + down, column = int(pixel % g.output[1] * g.stride[1]) + across;
        if (row < 0 || row >= int(g.input[0]) || column < 0 || column >= int(g.input[1])) continue;
        const size_t plane = (size_t(image) * g.input_channels + seen) * g.input[0] * g.input[1];
        sum += dy[(size_t(image) * g.output_channels + o) * pixels + pixel] * x[plane + row * int(g.input[1]) + column];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) finish(epilogue, sum, dw, blockIdx.x);
}
