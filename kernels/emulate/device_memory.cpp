// The emulated device's memory: allocations, each with a shadow for every word.

#include "cuda_on_cpu.h"

#include <cstdlib>
#include <mutex>
#include <vector>

namespace emulated {

Allocation allocations[ALLOCATIONS];

namespace {

std::mutex table;
std::vector<uint32_t> released;
uint32_t used = 1;

}  // namespace

void out_of_bounds(uint64_t address, size_t size) {
    const uint64_t index = address >> OFFSET_BITS, offset = address & OFFSET;
    if (address <= OFFSET / 2) violation("out of bounds: reads or writes through an absent pointer");
    // One that is a little below its allocation has borrowed from the number above.
    const bool below = offset > OFFSET / 2;
    const Allocation& allocation = allocations[(below ? index + 1 : index) % ALLOCATIONS];
    const long long place = below ? -(long long)(OFFSET + 1 - offset) : (long long)offset;
    violation("out of bounds: %zu bytes at byte %lld of a buffer of %zu", size, place, allocation.bytes);
}

void forget_accesses() {
    const std::lock_guard<std::mutex> guard(table);
    for (uint32_t i = 1; i < used; ++i) {
        if (allocations[i].memory) memset(allocations[i].shadows, 0, allocations[i].bytes / 4 * sizeof(Shadow));
    }
}

}  // namespace emulated

using namespace emulated;

// The address of `bytes` zeros, or 0.
extern "C" uint64_t emulated_allocate(size_t bytes) {
    if (bytes >= OFFSET) return 0;
    char* memory = static_cast<char*>(calloc(bytes / 16 + 1, 16));
    Shadow* shadows = static_cast<Shadow*>(calloc(bytes / 4 + 1, sizeof(Shadow)));
    const std::lock_guard<std::mutex> guard(table);
    if (!memory || !shadows || (released.empty() && used == ALLOCATIONS)) {
        free(memory);
        free(shadows);
        return 0;
    }
    uint32_t index = used;
    if (released.empty()) {
        ++used;
    } else {
        index = released.back();
        released.pop_back();
    }
    allocations[index] = {memory, bytes, shadows, true};
    return uint64_t(index) << OFFSET_BITS;
}

extern "C" void emulated_free(uint64_t address) {
    const std::lock_guard<std::mutex> guard(table);
    const uint32_t index = address >> OFFSET_BITS;
    free(allocations[index].memory);
    free(allocations[index].shadows);
    allocations[index] = {};
    released.push_back(index);
}

// Copies `count` floats to an allocation.
extern "C" void emulated_write(uint64_t address, const float* values, size_t count) {
    const Allocation& allocation = allocations[address >> OFFSET_BITS];
    const size_t first = (address & OFFSET) / 4;
    memcpy(allocation.memory + first * 4, values, count * 4);
    for (size_t word = first; word < first + count; ++word) {
        if (allocation.shadows[word].writer == DISCARDED) allocation.shadows[word].writer = 0;
    }
}

// Copies `count` floats from an allocation; 0, or 1 + the first of them that was discarded.
extern "C" size_t emulated_read(uint64_t address, float* values, size_t count) {
    const Allocation& allocation = allocations[address >> OFFSET_BITS];
    const size_t first = (address & OFFSET) / 4;
    for (size_t word = 0; word < count; ++word) {
        if (allocation.shadows[first + word].writer == DISCARDED) return 1 + word;
    }
    memcpy(values, allocation.memory + first * 4, count * 4);
    return 0;
}

// Makes the next read of any of these floats an error, unless it is written before.
extern "C" void emulated_discard(uint64_t address, size_t count) {
    const Allocation& allocation = allocations[address >> OFFSET_BITS];
    const size_t first = (address & OFFSET) / 4;
    for (size_t word = first; word < first + count; ++word) allocation.shadows[word] = {0, 0, DISCARDED, 0, 0};
}
