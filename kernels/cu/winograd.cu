// 3×3 convolution with stride 1 by minimal filtering, F(4×4, 3×3) (Lavin and Gray, 2015), at the points 0, ±A, ±B and ∞ of the
// processor's kernel (src/cpu/conv/winograd/points.rs), which amplify rounding less than whole ones.
//
// A tile of 4×4 outputs depends on 6×6 inputs. Both sides are transformed, and what is left is 36 products over the channels
// (gemm.cu), a batch of 36 times the groups: 36 multiply-adds where 144 were, for each pair of channels.

constexpr float A = 0.70710678f, B = 1.41421356f, A2 = 0.5f, B2 = 2.0f;
constexpr int SIDE = 6, POINTS = 36;

struct Winograd {
    // Images that are worked on at a time, and the first of them.
    uint32_t images, first_image;
    uint32_t input_channels, output_channels;
    uint32_t input[2], output[2], pad[2];
    // Tiles down and across.
    uint32_t tiles[2];
};

__device__ __forceinline__ void kernel_line(const double (&g)[3], double (&line)[SIDE]) {
    const double a = 0.70710678118654752440, b = 1.41421356237309504880;
    const double at_zero = 1.0, at_a = 1.0 / (2.0 * 0.5 * (0.5 - 2.0)), at_b = 1.0 / (2.0 * 2.0 * (2.0 - 0.5));
    const double near = g[0] + 0.5 * g[2], far = g[0] + 2.0 * g[2];
    line[0] = g[0] * at_zero;
    line[1] = (near + a * g[1]) * at_a;
    line[2] = (near - a * g[1]) * at_a;
    line[3] = (far + b * g[1]) * at_b;
    line[4] = (far - b * g[1]) * at_b;
    line[5] = g[2];
}

// Each kernel's transform, in f64 and rounded once: point by point, groups of rows×columns. Turned for the gradient with
// respect to the input, which is a convolution with the kernels turned around and the channels exchanged.
KERNEL(winograd_weights, 128)
(uint32_t count, uint32_t rows, uint32_t columns, uint32_t turned, Global<const float> weights, Global<float> transformed) {
    const uint32_t i = first();
    if (i >= count) return;
    const uint32_t column = i % columns, row = i / columns % rows, group = i / columns / rows;
    const size_t kernel = turned ? (size_t(group) * columns + column) * rows + row : i;
    double half[3][SIDE];
    for (int r = 0; r < 3; ++r) {
        double taps[3];
        for (int c = 0; c < 3; ++c) taps[c] = weights[kernel * 9 + (turned ? 8 - (r * 3 + c) : r * 3 + c)];
        kernel_line(taps, half[r]);
    }
    for (int c = 0; c < SIDE; ++c) {
        const double taps[3] = {half[0][c], half[1][c], half[2][c]};
        double line[SIDE];
        kernel_line(taps, line);
        for (int r = 0; r < SIDE; ++r) transformed[size_t(r * SIDE + c) * count + i] = float(line[r]);
    }
}

__device__ __forceinline__ void input_line(const float (&d)[SIDE], float (&line)[SIDE]) {
    const float even_a = d[4] - B2 * d[2], odd_a = A * (d[3] - B2 * d[1]);
    const float even_b = d[4] - A2 * d[2], odd_b = B * (d[3] - A2 * d[1]);
    line[0] = A2 * B2 * d[0] + (d[4] - (A2 + B2) * d[2]);
    line[1] = even_a + odd_a;
    line[2] = even_a - odd_a;
    line[3] = even_b + odd_b;
    line[4] = even_b - odd_b;
    line[5] = A2 * B2 * d[1] + (d[5] - (A2 + B2) * d[3]);
}

// A thread has one tile of one channel: y is points×channels×(images·tiles).
KERNEL(winograd_input, 128)(Winograd g, Global<const float> x, Global<float> y) {
    const uint32_t tiles = g.tiles[0] * g.tiles[1], columns = g.images * tiles, i = first();
    if (i >= g.input_channels * columns) return;
    const uint32_t channel = i / columns, column = i % columns;
    const uint32_t image = g.first_image + column / tiles, tile = column % tiles;
    const size_t plane = (size_t(image) * g.input_channels + channel) * g.input[0] * g.input[1];
    const int top = int(tile / g.tiles[1] * 4) - int(g.pad[0]), left = int(tile % g.tiles[1] * 4) - int(g.pad[1]);
    float half[SIDE][SIDE];
#pragma unroll
    for (int r = 0; r < SIDE; ++r) {
        const bool row_inside = top + r >= 0 && top + r < int(g.input[0]);
        float values[SIDE];
#pragma unroll
        for (int c = 0; c < SIDE; ++c) {
            const bool inside = row_inside && left + c >= 0 && left + c < int(g.input[1]);
            values[c] = inside ? x[plane + (top + r) * int(g.input[1]) + left + c] : 0.0f;
        }
        input_line(values, half[r]);
    }
    const size_t point = size_t(g.input_channels) * columns;
#pragma unroll
    for (int c = 0; c < SIDE; ++c) {
        const float values[SIDE] = {half[0][c], half[1][c], half[2][c], half[3][c], half[4][c], half[5][c]};
        float line[SIDE];
        input_line(values, line);
#pragma unroll
        for (int r = 0; r < SIDE; ++r) y[(r * SIDE + c) * point + i] = line[r];
    }
}

__device__ __forceinline__ void output_line(const float (&m)[SIDE], float (&line)[4]) {
    const float sum_a = m[1] + m[2], sum_b = m[3] + m[4];
    const float difference_a = A * (m[1] - m[2]), difference_b = B * (m[3] - m[4]);
    line[0] = m[0] + (sum_a + sum_b);
    line[1] = difference_a + difference_b;
    line[2] = A2 * sum_a + B2 * sum_b;
    line[3] = A2 * difference_a + (B2 * difference_b + m[5]);
}

// A thread has one tile of one channel: products are points×channels×(images·tiles).
KERNEL(winograd_output, 128)(Winograd g, Global<const float> products, Epilogue epilogue, Global<float> y) {
    const uint32_t tiles = g.tiles[0] * g.tiles[1], columns = g.images * tiles, i = first();
    if (i >= g.output_channels * columns) return;
    const uint32_t channel = i / columns, column = i % columns;
    const uint32_t image = g.first_image + column / tiles, tile = column % tiles;
    const size_t point = size_t(g.output_channels) * columns;
    float half[4][SIDE];
#pragma unroll
    for (int c = 0; c < SIDE; ++c) {
        float values[SIDE], line[4];
#pragma unroll
        for (int r = 0; r < SIDE; ++r) values[r] = products[(r * SIDE + c) * point + i];
        output_line(values, line);
#pragma unroll
        for (int r = 0; r < 4; ++r) half[r][c] = line[r];
    }
    const size_t plane = (size_t(image) * g.output_channels + channel) * g.output[0] * g.output[1];
    const uint32_t top = tile / g.tiles[1] * 4, left = tile % g.tiles[1] * 4;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
        float line[4];
        output_line(half[r], line);
#pragma unroll
        for (int c = 0; c < 4; ++c) {
            if (top + r < g.output[0] && left + c < g.output[1]) {
                finish(epilogue, line[c], y, plane + size_t(top + r) * g.output[1] + left + c);
            }
        }
    }
}
