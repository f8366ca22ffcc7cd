// The words for sm_90a's products, which run on while their threads do other things: they read shared memory when they are
// started, to find what is missing, and again when they are waited for, to find what has changed meanwhile; the sums come then.

#pragma once

struct WgmmaSums;

// Where an operand lies: from float `index` of row `quad` of an array on.
struct WgmmaOperand {
    void* rows;
    emulated::Ref<float, true> (*element)(void* rows, int quad, int index);
    int quad, index;

    // Of row r, or column r, step k of 8.
    emulated::Ref<float, true> at(int r, int k) const { return element(rows, quad + k / 4, index + r * 4 + k % 4); }
};

namespace emulated {

void fence_sums();
void fence_shared();
// How often this thread has called fence_sums, and one more: never 0.
uint32_t fences();
void start_product(int line, WgmmaSums& sums, const WgmmaOperand& a, const WgmmaOperand& b);
void commit_products();
void wait_for_products(int groups);
// At the start of a block, and at a thread's end.
void forget_products();
bool has_products();

}  // namespace emulated

struct WgmmaSums {
    float values[64];
    // Products that have not been waited for, and the fences before the last write.
    int unfinished = 0;
    uint32_t written = 0;

    void clear() {
        if (unfinished) emulated::violation("unfinished: writes sums of products that were not waited for");
        for (float& value : values) value = 0.0f;
        written = emulated::fences();
    }

    float operator[](int i) const {
        if (unfinished) emulated::violation("unfinished: reads sums of products that were not waited for");
        return values[i];
    }
};

template <int QUADS, int N>
inline WgmmaOperand wgmma_operand(Shared<float, QUADS, N>& slice, int quad, int index) {
    if (index % 4 != 0) emulated::violation("misaligned: an operand of a product");
    const auto element = [](void* rows, int row, int place) {
        return (*static_cast<Shared<float, QUADS, N>*>(rows))[row][place];
    };
    return {&slice, element, quad, index};
}

#define wgmma_tf32(sums, a, b) emulated::start_product(__LINE__, sums, a, b)

inline void async_fence() { emulated::fence_shared(); }
inline void wgmma_fence(WgmmaSums&) { emulated::fence_sums(); }
inline void wgmma_commit() { emulated::commit_products(); }

template <int GROUPS>
inline void wgmma_wait(WgmmaSums&) {
    emulated::wait_for_products(GROUPS);
}
