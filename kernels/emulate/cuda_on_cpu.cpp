// The emulated device: the scheduler that runs one block after the other, its threads as fibres.

#include "cuda_on_cpu.h"
#include "switch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace emulated {

Now now;
dim3 block_index, grid_extent, thread_index, block_extent;

// Made by build.rs.
extern const Kernel* const modules[];

namespace {

constexpr size_t STACK = 64 * 1024;
constexpr int EXCHANGED = 6;

enum State : uint8_t { READY, AT_BARRIER, IN_WARP, DONE };

struct Copy {
    float* target;
    Shadow* shadow;
    float value;
    int group;
};

struct Fibre {
    State state;
    bool begun;
    int line;
    int stack;
    void* pointer;
    int exchanges;
    // Asynchronous copies under way, oldest first, and the group that is being filled.
    std::vector<Copy> copies;
    int group;
};

struct Warp {
    int lanes;
    int arrived;
    int line;
    // Two turns of an exchange: one lane may be at the next while another has not read this one's.
    uint32_t words[2][32 * EXCHANGED];
};

std::mutex one_launch;
uint32_t clock_now = 1;

Fibre fibres[MOST_THREADS];
Warp warps[MOST_THREADS / 32];
char* stacks;
int idle[MOST_THREADS];
int idle_count;
void* scheduler;
int current;
const Kernel* kernel;
const void* const* arguments;
bool failed;
char message[512];

void to_scheduler() { emulated_switch(&fibres[current].pointer, scheduler); }

void finish() {
    if (!fibres[current].copies.empty()) violation("unfinished: ends before its asynchronous copies were waited for");
    if (has_products()) violation("unfinished: ends before its products were waited for");
    fibres[current].state = DONE;
}

[[noreturn]] void enter() {
    kernel->invoke(arguments);
    finish();
    to_scheduler();
    abort();
}

// A stack a thread, with a page between them that nobody may touch.
void make_stacks() {
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t all = MOST_THREADS * (STACK + page);
    void* memory = mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    stacks = static_cast<char*>(memory);
    for (int i = 0; i < MOST_THREADS; ++i) mprotect(stacks + i * (STACK + page), page, PROT_NONE);
}

void begin(Fibre& fibre) {
    const size_t page = sysconf(_SC_PAGESIZE);
    fibre.begun = true;
    fibre.stack = idle[--idle_count];
    void** top = reinterpret_cast<void**>(stacks + (fibre.stack + 1) * (STACK + page)) - SAVED;
    memset(top, 0, SAVED * sizeof(void*));
    top[RETURN] = reinterpret_cast<void*>(&enter);
    fibre.pointer = top;
}

void run(int index, uint32_t width, uint32_t height) {
    Fibre& fibre = fibres[index];
    if (!fibre.begun) begin(fibre);
    current = index;
    now.thread = index;
    thread_index = {index % width, index / width % height, index / width / height};
    emulated_switch(&scheduler, fibre.pointer);
    if (fibre.state == DONE) idle[idle_count++] = fibre.stack;
}

void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char* format, ...) {
    if (failed) return;
    failed = true;
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
}

// All threads that are not done wait, and none can go on by itself: at a barrier, all together, or by mistake.
void release(int count) {
    int at_barrier = 0, line = 0, first = 0;
    for (int i = 0; i < count; ++i) {
        if (fibres[i].state == AT_BARRIER && ++at_barrier == 1) {
            line = fibres[i].line;
            first = i;
        }
    }
    for (int i = 0; i < count; ++i) {
        const Fibre& fibre = fibres[i];
        if (fibre.state == IN_WARP) {
            return fail("thread %d: missed exchange: waits in line %d for the rest of its warp", i, fibre.line);
        }
        if (at_barrier == 0) continue;
        if (fibre.state == DONE) {
            return fail("thread %d: missed barrier: has ended, while thread %d waits in line %d", i, first, line);
        }
        if (fibre.line != line) {
            return fail("thread %d: missed barrier: waits in line %d, while thread %d waits in line %d", i, fibre.line,
                        first, line);
        }
    }
    now.interval = ++clock_now;
    for (int i = 0; i < count; ++i) fibres[i].state = READY;
}

void run_block(const dim3& block) {
    const int count = block.x * block.y * block.z;
    idle_count = MOST_THREADS;
    for (int i = 0; i < MOST_THREADS; ++i) idle[i] = MOST_THREADS - 1 - i;
    for (int i = 0; i < count; ++i) {
        Fibre& fibre = fibres[i];
        fibre.state = READY;
        fibre.begun = false;
        fibre.exchanges = 0;
        fibre.copies.clear();
        fibre.group = 0;
    }
    forget_products();
    const int warp_count = (count + 31) / 32;
    for (int i = 0; i < warp_count; ++i) {
        warps[i].lanes = count - i * 32 < 32 ? count - i * 32 : 32;
        warps[i].arrived = 0;
    }
    now.interval = now.block = ++clock_now;
    for (;;) {
        bool all_done = true;
        for (int w = 0; w < warp_count; ++w) {
            bool ran = true;
            while (ran) {
                ran = false;
                for (int i = w * 32; i < w * 32 + warps[w].lanes; ++i) {
                    if (fibres[i].state != READY) continue;
                    run(i, block.x, block.y);
                    if (failed) return;
                    ran = true;
                }
            }
        }
        for (int i = 0; i < count; ++i) all_done = all_done && fibres[i].state == DONE;
        if (all_done) return;
        release(count);
        if (failed) return;
    }
}

}  // namespace

void violation(const char* format, ...) {
    char what[400];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    fail("thread %d: %s", int(now.thread), what);
    to_scheduler();
    abort();
}

void race(const Shadow& shadow, bool shared, bool writes) {
    const bool wrote = shared ? wrote_meanwhile<true>(shadow) : wrote_meanwhile<false>(shadow);
    const uint32_t when = wrote ? shadow.written : shadow.read;
    const uint16_t other = wrote ? shadow.writer : shadow.reader;
    const char* what = writes ? "writes" : "reads";
    const char* where = shared ? "shared memory" : "global memory";
    const char* did = wrote ? "wrote" : "read";
    if (when != now.interval || (!wrote && shadow.reader == now.thread)) violation("race: %s %s that another block %s", what, where, did);
    if (other == SEVERAL) violation("race: %s %s that several threads %s", what, where, did);
    violation("race: %s %s that thread %d %s, with no barrier between", what, where, int(other), did);
}

void barrier(int line) {
    Fibre& fibre = fibres[current];
    fibre.state = AT_BARRIER;
    fibre.line = line;
    to_scheduler();
}

const uint32_t* exchange(int line, const uint32_t* words, int count) {
    Fibre& fibre = fibres[current];
    Warp& warp = warps[current / 32];
    uint32_t* all = warp.words[fibre.exchanges++ % 2];
    memcpy(all + current % 32 * count, words, count * sizeof(uint32_t));
    if (warp.arrived == 0) warp.line = line;
    if (warp.line != line) violation("missed exchange: in line %d, the rest of the warp in line %d", line, warp.line);
    fibre.line = line;
    if (++warp.arrived < warp.lanes) {
        fibre.state = IN_WARP;
        to_scheduler();
        return all;
    }
    warp.arrived = 0;
    const int first = current / 32 * 32;
    for (int i = first; i < first + warp.lanes; ++i) fibres[i].state = READY;
    return all;
}

void copy_later(void* target, Shadow* shadows, const float* values, int count) {
    Fibre& fibre = fibres[current];
    for (int i = 0; i < count; ++i) {
        fibre.copies.push_back({static_cast<float*>(target) + i, shadows + i, values[i], fibre.group});
    }
}

void commit() { ++fibres[current].group; }

void wait(int groups) {
    Fibre& fibre = fibres[current];
    size_t arrived = 0;
    while (arrived < fibre.copies.size() && fibre.copies[arrived].group < fibre.group - groups) {
        const Copy& copy = fibre.copies[arrived++];
        note_write<true>(*copy.shadow);
        *copy.target = copy.value;
    }
    fibre.copies.erase(fibre.copies.begin(), fibre.copies.begin() + arrived);
}

}  // namespace emulated

using namespace emulated;

struct Operand {
    uint64_t address;
    // Words from the address on that the launch must write, all of them.
    uint64_t written;
    bool writable;
};

struct Launch {
    const char* kernel;
    dim3 grid;
    dim3 block;
    const void* const* arguments;
    const size_t* sizes;
    size_t count;
    const Operand* operands;
    size_t operand_count;
};

// Runs a kernel; what is wrong with it is in `text` if the result is not 0.
extern "C" int emulated_launch(const Launch* launch, char* text, size_t text_length) {
    const std::lock_guard<std::mutex> guard(one_launch);
    if (!stacks) make_stacks();
    failed = false;
    kernel = nullptr;
    for (const Kernel* const* module = modules; *module; ++module) {
        for (const Kernel* entry = *module; entry->name; ++entry) {
            if (strcmp(entry->name, launch->kernel) == 0) kernel = entry;
        }
    }
    const uint64_t threads = uint64_t(launch->block.x) * launch->block.y * launch->block.z;
    if (!kernel) {
        fail("there is no such kernel");
    } else if (kernel->count != launch->count) {
        fail("takes %zu arguments, was given %zu", kernel->count, launch->count);
    } else if (threads == 0 || threads > MOST_THREADS) {
        fail("a block of %llu threads", static_cast<unsigned long long>(threads));
    }
    // As far as a GPU's grid goes.
    if (launch->grid.x > 0x7fffffffu || launch->grid.y > 65535 || launch->grid.z > 65535) {
        fail("a grid of %u, %u, %u blocks", launch->grid.x, launch->grid.y, launch->grid.z);
    }
    for (size_t i = 0; !failed && i < launch->count; ++i) {
        if (kernel->sizes[i] != launch->sizes[i]) {
            fail("argument %zu has %zu bytes, was given %zu", i, kernel->sizes[i], launch->sizes[i]);
        }
    }
    if (clock_now > 0xf0000000u) {
        clock_now = 1;
        forget_accesses();
    }
    arguments = launch->arguments;
    grid_extent = launch->grid;
    block_extent = launch->block;
    now.launch = clock_now + 1;
    for (size_t i = 0; i < launch->operand_count; ++i) {
        allocations[launch->operands[i].address >> OFFSET_BITS].writable = false;
    }
    for (size_t i = 0; i < launch->operand_count; ++i) {
        if (launch->operands[i].writable) allocations[launch->operands[i].address >> OFFSET_BITS].writable = true;
    }
    const bool started = !failed;
    dim3 at{};
    for (at.z = 0; !failed && at.z < launch->grid.z; ++at.z) {
        for (at.y = 0; !failed && at.y < launch->grid.y; ++at.y) {
            for (at.x = 0; !failed && at.x < launch->grid.x; ++at.x) {
                block_index = at;
                run_block(launch->block);
            }
        }
    }
    if (failed && started) {
        snprintf(text, text_length, "block (%u, %u, %u), %s", block_index.x, block_index.y, block_index.z, message);
        return 1;
    }
    if (failed) {
        snprintf(text, text_length, "%s", message);
        return 1;
    }
    for (size_t i = 0; i < launch->operand_count; ++i) {
        const Operand& operand = launch->operands[i];
        const Allocation& allocation = allocations[operand.address >> OFFSET_BITS];
        const size_t first = (operand.address & OFFSET) / 4;
        for (size_t word = first; word < first + operand.written; ++word) {
            if (allocation.shadows[word].written < now.launch) {
                snprintf(text, text_length, "unwritten: leaves float %zu of %zu as it was", word - first,
                         size_t(operand.written));
                return 1;
            }
        }
    }
    return 0;
}
