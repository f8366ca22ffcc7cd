// The few things that kernels use beside CUDA's own words. emulate/cuda_on_cpu.h gives the same names on a processor, where
// every access is checked.

typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;

#define INFINITY __int_as_float(0x7f800000)

// `KERNEL(name, threads)`: a kernel for blocks of at most so many threads. `KERNEL(name, threads, blocks)`: and a
// multiprocessor is to hold at least so many blocks at a time, from which follows how many registers a thread may have. Where that
// is not said the compiler chooses, by architecture: sometimes one register too many for two blocks, or too few, with a spill.
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__) name

// Memory that every block sees.
template <class T>
using Global = T*;

// Memory whose address was found in memory.
template <class T>
__device__ __forceinline__ T* at_address(uint64_t address) {
    return reinterpret_cast<T*>(address);
}

// Memory of one block: an array of N × MORE….
template <class T, int N, int... MORE>
struct alignas(16) Shared {
    Shared<T, MORE...> rows[N];
    __device__ __forceinline__ Shared<T, MORE...>& operator[](int index) { return rows[index]; }
};

template <class T, int N>
struct alignas(16) Shared<T, N> {
    T values[N];
    __device__ __forceinline__ T& operator[](int index) { return values[index]; }
};

// Four neighbours that begin at a multiple of 16 bytes.
__device__ __forceinline__ float4 load4(const float* from, size_t index) {
    return *reinterpret_cast<const float4*>(from + index);
}

template <int N>
__device__ __forceinline__ float4 load4(Shared<float, N>& row, int index) {
    return *reinterpret_cast<const float4*>(&row.values[index]);
}

__device__ __forceinline__ void store4(float* to, size_t index, float4 value) {
    *reinterpret_cast<float4*>(to + index) = value;
}

template <int N>
__device__ __forceinline__ void store4(Shared<float, N>& row, int index, float4 value) {
    *reinterpret_cast<float4*>(&row.values[index]) = value;
}

// Copies from global to shared memory that need no register and do not wait; where they are not `valid`, zeros. They are
// there after `copy_async_wait<groups>`: all but the last so many groups.
template <int N>
__device__ __forceinline__ void copy_async(Shared<float, N>& row, int index, const float* from, size_t offset, bool valid) {
#if __CUDA_ARCH__ >= 800
    const uint32_t target = static_cast<uint32_t>(__cvta_generic_to_shared(&row.values[index]));
    const float* source = valid ? from + offset : from;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(target), "l"(source), "r"(valid ? 4 : 0));
#else
    row.values[index] = valid ? from[offset] : 0.0f;
#endif
}

template <int N>
__device__ __forceinline__ void copy_async4(Shared<float, N>& row, int index, const float* from, size_t offset, bool valid) {
#if __CUDA_ARCH__ >= 800
    const uint32_t target = static_cast<uint32_t>(__cvta_generic_to_shared(&row.values[index]));
    const float* source = valid ? from + offset : from;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(valid ? 16 : 0));
#else
    const float4 four = valid ? load4(from, offset) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    *reinterpret_cast<float4*>(&row.values[index]) = four;
#endif
}

__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::);
#endif
}

template <int GROUPS>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS));
#endif
}

// The nearest of the floats with ten bits behind the point.
__device__ __forceinline__ uint32_t to_tf32(float value) {
#if __CUDA_ARCH__ >= 800
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
#else
    return __float_as_uint(value);
#endif
}

__device__ __forceinline__ float round_to_tf32(float value) { return __uint_as_float(to_tf32(value)); }

// d += a · b for 16×8, 8×8 on the tensor cores, each lane with its part of the matrices as PTX has it. Before sm_80 there is
// no TF32, and nothing calls this.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Keeps the larger of what is there and `value`, whoever else does the same. Whole numbers only: their largest does not
// depend on the order.
__device__ __forceinline__ void atomic_max(int* to, size_t index, int value) { atomicMax(to + index, value); }

// The products of sm_90a, which 128 threads start together and which read both operands from shared memory while the threads go
// on. Nothing of it exists elsewhere, and nothing calls it there.

// A thread's part of 64×128 sums: with w = thread / 32 % 4, l = thread % 32, number i is in row 16w + l / 4 + i % 4 / 2 · 8 and in
// column l % 4 · 2 + i / 4 · 8 + i % 2. They must not be looked at before the products are waited for.
struct WgmmaSums {
    float values[64];
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < 64; ++i) values[i] = 0.0f;
    }
    __device__ __forceinline__ float operator[](int i) const { return values[i]; }
};

// All sums of `d`, for an instruction that reads and writes them.
#define FOUR_SUMS(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SIXTEEN_SUMS(i) FOUR_SUMS(i), FOUR_SUMS(i + 4), FOUR_SUMS(i + 8), FOUR_SUMS(i + 12)
#define ALL_SUMS SIXTEEN_SUMS(0), SIXTEEN_SUMS(16), SIXTEEN_SUMS(32), SIXTEEN_SUMS(48)

// Where an operand of 8 steps lies: rows (or columns) of four steps, 16 bytes, one behind the other, from `index` of row `quad`
// of the array on; the other four steps in the array's next row.
typedef uint64_t WgmmaOperand;

template <int QUADS, int N>
__device__ __forceinline__ WgmmaOperand wgmma_operand(Shared<float, QUADS, N>& slice, int quad, int index) {
    const uint64_t address = __cvta_generic_to_shared(&slice.rows[quad].values[index]);
    // From four steps to the next four, and from eight rows to the next eight; no swizzle.
    constexpr uint64_t steps = sizeof(Shared<float, N>), rows = 128;
    return (address & 0x3ffff) >> 4 | (steps >> 4) << 16 | (rows >> 4) << 32;
}

// Makes what this thread has stored into shared memory visible to products, behind the next barrier.
__device__ __forceinline__ void async_fence() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Between what the threads did to the sums and the next products. It names the sums, though it does not change them, so that the
// compiler moves nothing that is done to them to the other side; likewise the wait.
__device__ __forceinline__ void wgmma_fence(WgmmaSums& sums) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    float(&d)[64] = sums.values;
    asm volatile("wgmma.fence.sync.aligned;" : ALL_SUMS::"memory");
#endif
}

// The products since the last time become a group.
__device__ __forceinline__ void wgmma_commit() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// Waits for all but the last so many groups, which add to these sums.
template <int GROUPS>
__device__ __forceinline__ void wgmma_wait(WgmmaSums& sums) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    float(&d)[64] = sums.values;
    asm volatile("wgmma.wait_group.sync.aligned %64;" : ALL_SUMS : "n"(GROUPS) : "memory");
#endif
}

// sums += a · b for 64×8, 8×128. Of each float the lower 13 bits are ignored: round_to_tf32 comes before.
__device__ __forceinline__ void wgmma_tf32(WgmmaSums& sums, WgmmaOperand a, WgmmaOperand b) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    float(&d)[64] = sums.values;
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, 1, 1, 1;"
        : ALL_SUMS
        : "l"(a), "l"(b));
#endif
}

#undef ALL_SUMS
#undef SIXTEEN_SUMS
#undef FOUR_SUMS
