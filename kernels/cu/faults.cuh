// Values that name nothing, such as a label beyond the classes: no kernel reads where they point to, and the first of them is
// kept in a record of four words (operation, site, limit, the value's bits) until the host asks. Operation 0 is no fault. Of
// several launches the first counts, of one launch the lowest place, so that the record does not depend on any order of threads.

// Which operation it is, whose, and how many there are to name.
struct Watch {
    uint32_t operation, site, limit;
};

constexpr uint32_t NO_FAULT = 0xffffffffu;

// Rounded towards 0; what is too large becomes the largest, and no number 0: as Rust has it.
__device__ __forceinline__ int whole(float value) {
    if (value != value) return 0;
    return value >= 2147483648.0f ? 2147483647 : value <= -2147483648.0f ? -2147483647 - 1 : int(value);
}

// By one thread of the launch, with the value's bits.
__device__ __forceinline__ void report(const Watch& watch, uint32_t bits, Global<uint32_t> record) {
    if (record[0] != 0) return;
    record[0] = watch.operation;
    record[1] = watch.site;
    record[2] = watch.limit;
    record[3] = bits;
}
