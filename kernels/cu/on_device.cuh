// The few things that kernels use beside CUDA's own words. emulate/cuda_on_cpu.h gives the same names on a processor, where
// every access is checked.

typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;

#define INFINITY __int_as_float(0x7f800000)

// A kernel for blocks of at most so many threads.
#define KERNEL(name, threads) extern "C" __global__ void __launch_bounds__(threads) name

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
