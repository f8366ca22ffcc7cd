// One block: adds up the parts that a loss's blocks left, 16 bytes each, in a fixed order, and divides. `totals` keeps the divisor
// for the gradient; where `divisor` is 0 it is the number of places that counted, or 1.

KERNEL(loss_total, 256)
(Watch watch, uint32_t parts, uint32_t divisor, Global<const double> sums, Global<const uint32_t> counted,
 Global<const uint32_t> faults, Global<const uint32_t> label, Global<float> loss, Global<uint32_t> totals,
 Global<uint32_t> record) {
    Found found = {0.0, 0, NO_FAULT};
    if (threadIdx.x < parts) found = {sums[threadIdx.x], counted[threadIdx.x], faults[threadIdx.x]};
    const Found all = of_block(found);
    if (threadIdx.x != 0) return;
    const uint32_t by = divisor != 0 ? divisor : all.counted != 0 ? all.counted : 1;
    loss[0] = float(all.sum / double(by));
    totals[0] = by;
    if (all.fault != NO_FAULT) report(watch, label[all.fault], record);
}
