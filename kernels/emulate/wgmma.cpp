// Products of sm_90a: each thread computes its own part of the sums when it waits for them.

#include <vector>

#include "cuda_on_cpu.h"

namespace emulated {

uint32_t unfenced[MOST_THREADS];

namespace {

struct Product {
    WgmmaSums* sums;
    WgmmaOperand a, b;
    // The interval in which it was started, and its group.
    uint32_t started;
    int group;
};

struct Thread {
    // Oldest first.
    std::vector<Product> products;
    int group;
    uint32_t fences;
};

Thread threads[MOST_THREADS];

// Where sum i of this thread is, among 64×128.
int row_of(int i) { return now.thread % 128 / 32 * 16 + now.thread % 32 / 4 + i % 4 / 2 * 8; }
int column_of(int i) { return now.thread % 4 * 2 + i / 4 * 8 + i % 2; }

// As the tensor cores see it.
float upper_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits &= ~0x1fffu;
    memcpy(&value, &bits, 4);
    return value;
}

float look_at(const Ref<float, true>& place, uint32_t started) {
    const Shadow& shadow = *place.shadow;
    if (started != 0 && shadow.written > started) {
        violation("race: a product reads shared memory that thread %d overwrote before it was waited for", shadow.writer);
    }
    const float value = place;
    const uint32_t since = unfenced[shadow.writer];
    if (started == 0 && since != 0 && since <= shadow.written) {
        violation("missing fence: a product reads what thread %d stored into shared memory, with no async_fence since",
                  shadow.writer);
    }
    return value;
}

// What this thread's sums are made from: both rows of a, and 32 columns of b.
void look(const Product& product, uint32_t started, float (&a)[2][8], float (&b)[32][8]) {
    for (int k = 0; k < 8; ++k) {
        for (int i = 0; i < 2; ++i) a[i][k] = upper_bits(look_at(product.a.at(row_of(i * 2), k), started));
        for (int j = 0; j < 32; ++j) b[j][k] = upper_bits(look_at(product.b.at(column_of(j / 2 * 4 + j % 2), k), started));
    }
}

void finish(const Product& product) {
    float a[2][8], b[32][8];
    look(product, product.started, a, b);
    for (int i = 0; i < 64; ++i) {
        for (int k = 0; k < 8; ++k) product.sums->values[i] += a[i % 4 / 2][k] * b[i / 4 * 2 + i % 2][k];
    }
    --product.sums->unfinished;
}

}  // namespace

void fence_shared() { unfenced[now.thread] = 0; }

void fence_sums() { ++threads[now.thread].fences; }

uint32_t fences() { return threads[now.thread].fences + 1; }

void start_product(int line, WgmmaSums& sums, const WgmmaOperand& a, const WgmmaOperand& b) {
    // Together with the rest of the warp, and of the same operands.
    const uint32_t words[6] = {uint32_t(reinterpret_cast<uintptr_t>(a.rows)), uint32_t(a.quad), uint32_t(a.index),
                               uint32_t(reinterpret_cast<uintptr_t>(b.rows)), uint32_t(b.quad), uint32_t(b.index)};
    const uint32_t* all = exchange(line, words, 6);
    for (int lane = 0; lane < 32; ++lane) {
        if (memcmp(all + lane * 6, words, sizeof words) != 0) {
            violation("different operands: lane %d of the warp has others for one product", lane);
        }
    }
    if (sums.written >= fences()) {
        violation("missing fence: adds to sums that were written, with no wgmma_fence since");
    }
    Thread& thread = threads[now.thread];
    const Product product = {&sums, a, b, now.interval, thread.group};
    float ignored_a[2][8], ignored_b[32][8];
    look(product, 0, ignored_a, ignored_b);
    ++sums.unfinished;
    thread.products.push_back(product);
}

void commit_products() { ++threads[now.thread].group; }

void wait_for_products(int groups) {
    Thread& thread = threads[now.thread];
    size_t done = 0;
    while (done < thread.products.size() && thread.products[done].group < thread.group - groups) {
        finish(thread.products[done++]);
    }
    thread.products.erase(thread.products.begin(), thread.products.begin() + done);
}

void forget_products() {
    for (Thread& thread : threads) {
        thread.products.clear();
        thread.group = 0;
        thread.fences = 0;
    }
    memset(unfenced, 0, sizeof unfenced);
}

bool has_products() { return !threads[now.thread].products.empty(); }

}  // namespace emulated
