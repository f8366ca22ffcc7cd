// What cu/on_device.cuh gives a kernel on a GPU, given on a processor: the same names, with the same meaning, checked.
//
// A block's threads are fibres on one thread of the host. Each runs until it waits, at a barrier or at a shuffle, for
// others. Every word of global and shared memory has a shadow that knows who last read and wrote it, and when; time is
// counted in intervals between barriers. See cuda_on_cpu.cpp for the scheduler, device_memory.cpp for the memory.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <utility>

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static

// `KERNEL(name, …)(parameters) { body }`: one that build.rs finds and registers.
#define KERNEL(name, ...) static void name

struct dim3 {
    uint32_t x, y, z;
};

struct float4 {
    float x, y, z, w;
};

namespace emulated {

// Who touched a word last, and in which interval; 0 is never.
struct Shadow {
    uint32_t written;
    uint32_t read;
    uint16_t writer;
    uint16_t reader;
    // The launch in which a block read the word and another block read it after that.
    uint32_t read_by_blocks;
};

// What is no thread: several of them; atomically; and whoever said that what is there counts no more.
constexpr uint16_t SEVERAL = 0xffff, ATOMICALLY = 0xfffe, DISCARDED = 0xfffd;

// The thread that runs, and the time.
struct Now {
    uint32_t interval;
    // The first interval of this block, and of this launch.
    uint32_t block;
    uint32_t launch;
    uint16_t thread;
};

struct Allocation {
    char* memory;
    size_t bytes;
    Shadow* shadows;
    bool writable;
};

// An address on the emulated device: the number of an allocation, and an offset in it.
constexpr int OFFSET_BITS = 40;
constexpr uint64_t OFFSET = (uint64_t(1) << OFFSET_BITS) - 1;
constexpr uint64_t ALLOCATIONS = 1 << 20;

// The most threads of a block.
constexpr int MOST_THREADS = 1024;

extern Now now;
// For each thread the interval in which it first stored into shared memory since its last async_fence, or 0.
extern uint32_t unfenced[MOST_THREADS];
extern Allocation allocations[ALLOCATIONS];
extern dim3 block_index, grid_extent, thread_index, block_extent;

// Ends the launch with an error; the threads are never heard of again.
[[noreturn]] void violation(const char* format, ...) __attribute__((format(printf, 1, 2), cold));
[[noreturn]] void out_of_bounds(uint64_t address, size_t size) __attribute__((cold));
[[noreturn]] void race(const Shadow& shadow, bool shared, bool writes) __attribute__((cold));

// Of all memory, when the clock begins again.
void forget_accesses();

void barrier(int line);
// Hands `count` words to the other threads of the warp, and waits for theirs: 32 times `count` words.
const uint32_t* exchange(int line, const uint32_t* words, int count);

void copy_later(void* target, Shadow* shadows, const float* values, int count);
void commit();
void wait(int groups);

// Shared memory is each block's own: what blocks before did to it counts for nothing.
template <bool SHARED>
inline bool wrote_meanwhile(const Shadow& shadow) {
    if (!SHARED && shadow.written >= now.launch && shadow.written < now.block) return true;
    return shadow.written == now.interval && shadow.writer != now.thread;
}

template <bool SHARED>
inline bool read_meanwhile(const Shadow& shadow) {
    if (!SHARED && shadow.read >= now.launch && (shadow.read < now.block || shadow.read_by_blocks == now.launch)) return true;
    return shadow.read == now.interval && shadow.reader != now.thread;
}

template <bool SHARED>
inline void note_read(Shadow& shadow) {
    if (!SHARED && shadow.writer == DISCARDED) violation("uninitialised: reads global memory that was discarded");
    if (wrote_meanwhile<SHARED>(shadow)) race(shadow, SHARED, false);
    if (shadow.read != now.interval) {
        if (!SHARED && shadow.read >= now.launch && shadow.read < now.block) shadow.read_by_blocks = now.launch;
        shadow.read = now.interval;
        shadow.reader = now.thread;
    } else if (shadow.reader != now.thread) {
        shadow.reader = SEVERAL;
    }
}

template <bool SHARED>
inline void note_write(Shadow& shadow) {
    if (wrote_meanwhile<SHARED>(shadow) || read_meanwhile<SHARED>(shadow)) race(shadow, SHARED, true);
    shadow.written = now.interval;
    shadow.writer = now.thread;
    if (SHARED && unfenced[now.thread] == 0) unfenced[now.thread] = now.interval;
}

// A place that can be read and written.
template <class T, bool SHARED>
struct Ref {
    T* at;
    Shadow* shadow;

    operator T() const {
        if (SHARED && shadow->written < now.block) violation("uninitialised: reads shared memory that nobody wrote");
        note_read<SHARED>(*shadow);
        return *at;
    }

    T operator=(T value) const {
        for (size_t word = 0; word < sizeof(T) / 4; ++word) note_write<SHARED>(shadow[word]);
        return *at = value;
    }

    T operator=(const Ref& other) const { return *this = T(other); }
    T operator+=(T value) const { return *this = T(*this) + value; }
    T operator-=(T value) const { return *this = T(*this) - value; }
    T operator*=(T value) const { return *this = T(*this) * value; }
};

inline Allocation& find(uint64_t address, size_t size) {
    Allocation& allocation = allocations[(address >> OFFSET_BITS) % ALLOCATIONS];
    if ((address & OFFSET) + size > allocation.bytes || address % 4 != 0) out_of_bounds(address, size);
    return allocation;
}

}  // namespace emulated

#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index
#define blockDim emulated::block_extent
#define gridDim emulated::grid_extent
#define __syncthreads() emulated::barrier(__LINE__)

// Global memory.
template <class T>
struct Global;

template <class T>
struct Global<const T> {
    uint64_t address;

    T operator[](size_t index) const {
        const uint64_t place = address + index * sizeof(T);
        const emulated::Allocation& allocation = emulated::find(place, sizeof(T));
        const uint64_t offset = place & emulated::OFFSET;
        emulated::note_read<false>(allocation.shadows[offset / 4]);
        return *reinterpret_cast<const T*>(allocation.memory + offset);
    }

    Global operator+(size_t offset) const { return {address + offset * sizeof(T)}; }
    explicit operator bool() const { return address != 0; }
};

template <class T>
struct Global {
    uint64_t address;

    emulated::Ref<T, false> operator[](size_t index) const {
        const uint64_t place = address + index * sizeof(T);
        const emulated::Allocation& allocation = emulated::find(place, sizeof(T));
        if (!allocation.writable) emulated::violation("read-only: takes for an output what is an input");
        const uint64_t offset = place & emulated::OFFSET;
        return {reinterpret_cast<T*>(allocation.memory + offset), &allocation.shadows[offset / 4]};
    }

    Global operator+(size_t offset) const { return {address + offset * sizeof(T)}; }
    explicit operator bool() const { return address != 0; }
    operator Global<const T>() const { return {address}; }
};

template <class T>
inline Global<T> at_address(uint64_t address) {
    return {address};
}

// Shared memory.
template <class T, int N, int... MORE>
struct Shared {
    Shared<T, MORE...> rows[N];

    Shared<T, MORE...>& operator[](int index) {
        if (unsigned(index) >= unsigned(N)) {
            emulated::violation("out of bounds: row %d of a shared array of %d", index, N);
        }
        return rows[index];
    }
};

template <class T, int N>
struct Shared<T, N> {
    T values[N];
    emulated::Shadow shadows[N * sizeof(T) / 4];

    emulated::Ref<T, true> operator[](int index) {
        if (unsigned(index) >= unsigned(N)) {
            emulated::violation("out of bounds: element %d of a shared array of %d", index, N);
        }
        return {&values[index], &shadows[index * sizeof(T) / 4]};
    }
};

// Four neighbours that begin at a multiple of 16 bytes.
inline float4 load4(Global<const float> from, size_t index) {
    if ((from.address + index * 4) % 16 != 0) emulated::violation("misaligned: four floats at once");
    return {from[index], from[index + 1], from[index + 2], from[index + 3]};
}

template <int N>
inline float4 load4(Shared<float, N>& row, int index) {
    if (index % 4 != 0) emulated::violation("misaligned: four floats at once");
    return {row[index], row[index + 1], row[index + 2], row[index + 3]};
}

inline void store4(Global<float> to, size_t index, float4 value) {
    if ((to.address + index * 4) % 16 != 0) emulated::violation("misaligned: four floats at once");
    to[index] = value.x;
    to[index + 1] = value.y;
    to[index + 2] = value.z;
    to[index + 3] = value.w;
}

template <int N>
inline void store4(Shared<float, N>& row, int index, float4 value) {
    if (index % 4 != 0) emulated::violation("misaligned: four floats at once");
    row[index] = value.x;
    row[index + 1] = value.y;
    row[index + 2] = value.z;
    row[index + 3] = value.w;
}

// Several threads may do this to one word, but nothing else meanwhile.
inline void atomic_max(Global<int> to, size_t index, int value) {
    const emulated::Ref<int, false> place = to[index];
    emulated::Shadow& shadow = *place.shadow;
    if (shadow.writer == emulated::DISCARDED) emulated::violation("uninitialised: a maximum with memory that was discarded");
    if (shadow.written < emulated::now.launch || shadow.writer != emulated::ATOMICALLY) {
        emulated::note_write<false>(shadow);
        shadow.writer = emulated::ATOMICALLY;
    }
    shadow.written = emulated::now.interval;
    if (value > *place.at) *place.at = value;
}

// Copies that arrive when they are waited for.
template <int N>
inline void copy_async(Shared<float, N>& row, int index, Global<const float> from, size_t offset, bool valid) {
    const float value = valid ? from[offset] : 0.0f;
    const auto target = row[index];
    emulated::copy_later(target.at, target.shadow, &value, 1);
}

template <int N>
inline void copy_async4(Shared<float, N>& row, int index, Global<const float> from, size_t offset, bool valid) {
    if (index % 4 != 0) emulated::violation("misaligned: four floats at once");
    const float4 four = valid ? load4(from, offset) : float4{0.0f, 0.0f, 0.0f, 0.0f};
    const float values[4] = {four.x, four.y, four.z, four.w};
    (void)row[index + 3];
    const auto target = row[index];
    emulated::copy_later(target.at, target.shadow, values, 4);
}

inline void copy_async_commit() { emulated::commit(); }

template <int GROUPS>
inline void copy_async_wait() {
    emulated::wait(GROUPS);
}

namespace emulated {

template <class T>
inline T shuffle(int line, uint32_t mask, T value, int source) {
    if (mask != 0xffffffffu) violation("a shuffle among part of a warp");
    constexpr int WORDS = sizeof(T) / 4;
    uint32_t own[WORDS];
    memcpy(own, &value, sizeof value);
    const uint32_t* words = exchange(line, own, WORDS);
    T result;
    memcpy(&result, &words[source * WORDS], sizeof result);
    return result;
}

}  // namespace emulated

#define __shfl_down_sync(mask, value, delta) emulated::shuffle_down(__LINE__, mask, value, delta)
#define __shfl_xor_sync(mask, value, lanes) emulated::shuffle(__LINE__, mask, value, (emulated::now.thread % 32) ^ (lanes))

namespace emulated {

inline float shuffle_down(int line, uint32_t mask, float value, int delta) {
    const int lane = now.thread % 32;
    return shuffle(line, mask, value, lane + delta < 32 ? lane + delta : lane);
}

}  // namespace emulated

// The nearest of the floats with ten bits behind the point, halves away from zero.
inline uint32_t to_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
    return (bits + 0x1000u) & ~0x1fffu;
}

inline float round_to_tf32(float value) {
    const uint32_t bits = to_tf32(value);
    memcpy(&value, &bits, 4);
    return value;
}

// d += a · b for 16×8, 8×8: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32, with each lane's part of the matrices as PTX has it.
#define mma_tf32(d, a, b) emulated::mma(__LINE__, d, a, b)

namespace emulated {

inline void mma(int line, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    const int lane = now.thread % 32;
    const uint32_t words[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const uint32_t* all = exchange(line, words, 6);
    const auto as_float = [](uint32_t bits) {
        float value;
        bits &= ~0x1fffu;
        memcpy(&value, &bits, 4);
        return value;
    };
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + (i >= 2 ? 8 : 0), column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 8; ++k) {
            const int a_lane = row % 8 * 4 + k % 4, a_word = row / 8 + k / 4 * 2;
            const int b_lane = column * 4 + k % 4, b_word = 4 + k / 4;
            d[i] += as_float(all[a_lane * 6 + a_word]) * as_float(all[b_lane * 6 + b_word]);
        }
    }
}

}  // namespace emulated

#include "wgmma.h"

namespace emulated {

// A kernel, callable with an array of pointers to its arguments.
struct Kernel {
    const char* name;
    void (*invoke)(const void* const* arguments);
    const size_t* sizes;
    size_t count;
};

template <auto FUNCTION, class... ARGUMENTS, size_t... INDEX>
void call(const void* const* arguments, std::index_sequence<INDEX...>) {
    FUNCTION(*static_cast<const ARGUMENTS*>(arguments[INDEX])...);
}

template <auto FUNCTION, class TYPE>
struct Entry;

template <auto FUNCTION, class... ARGUMENTS>
struct Entry<FUNCTION, void (*)(ARGUMENTS...)> {
    static constexpr size_t sizes[] = {sizeof(ARGUMENTS)...};

    static void invoke(const void* const* arguments) {
        call<FUNCTION, ARGUMENTS...>(arguments, std::make_index_sequence<sizeof...(ARGUMENTS)>());
    }

    static constexpr Kernel named(const char* name) { return {name, invoke, sizes, sizeof...(ARGUMENTS)}; }
};

}  // namespace emulated

#define REGISTER(name) emulated::Entry<&name, decltype(&name)>::named(#name)
