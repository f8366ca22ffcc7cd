#!/bin/sh
# Checks and measures Rebrew on this machine's NVIDIA GPU: see README.md beside this file.
#
#   sh run.sh [RESULTS]
#
# writes RESULTS/report.md and RESULTS/report.json (RESULTS is `results` here, unless given). Exit codes: 0, all is well; 1, a
# check failed; 2, it could not run. REBREW_GPU_DEVICE=cpu tries the script itself on the processor, with tiny shapes.
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 2
results=${1:-$here/results}
device=${REBREW_GPU_DEVICE:-cuda}
python=${REBREW_PYTHON3:-python3}

# Where NVRTC and cuBLAS may be: beside this file, or with python3's packages.
for library in cu13 cuda_nvrtc cublas; do
    packaged=$("$python" -c "import nvidia.$library as found; print(list(found.__path__)[0])" 2>/dev/null || true)
    LD_LIBRARY_PATH=$here/nvidia/$library/lib${packaged:+:$packaged/lib}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH

mkdir -p "$results" || exit 2
REBREW_CACHE=$results/cache
export REBREW_CACHE

if ! name=$("$here/gpu_report" --device "$device" --probe 2>"$results/probe.log"); then
    cat "$results/probe.log" >&2
    cat >&2 <<END
run.sh: this machine cannot be measured. What is needed:
  * an NVIDIA GPU of compute capability 7.5 or later, and its driver (libcuda.so.1; \`nvidia-smi\` shows both)
  * NVRTC of CUDA 11.2 or later (libnvrtc.so.*), from a CUDA toolkit, or without one:
      $python -m pip install --target "$here" --no-deps nvidia-cuda-nvrtc-cu12==12.9.86
    or unzip that wheel here, fetched elsewhere by \`pip download\`; LD_LIBRARY_PATH may name other places
END
    exit 2
fi
echo "device: $name"

failed=0
: >"$results/outcomes.tsv"

# check NAME COMMAND…: runs it with its output in a file, and keeps how it went.
check() {
    what=$1
    log=$results/$(echo "$what" | tr ' ,' '__').log
    shift
    echo "$what …"
    if "$@" >"$log" 2>&1; then
        printf '%s\tpassed\n' "$what" >>"$results/outcomes.tsv"
    else
        printf '%s\tFAILED\n' "$what" >>"$results/outcomes.tsv"
        echo "$what: FAILED; its output is in $log" >&2
        failed=1
    fi
}

# skip NAME REASON: says so, and keeps it.
skip() {
    printf '%s\tnot run: %s\n' "$1" "$2" >>"$results/outcomes.tsv"
    echo "$1: not run: $2"
}

# Every operation against f64. On a GPU its errors must be among those recorded.
conformance() {
    rm -f "$results/errors.tsv"
    KERNELS_ERRORS=$results/errors.tsv PROPTEST_RNG_SEED=20 "$here/conformance" "$@" || return 1
    [ "$device" = cpu ] || grep -q 'sm_' "$results/errors.tsv"
}

# A net on the device computes, and learns, what it does on the processor; what is frozen keeps its bits.
same_net() {
    fashion=$here/testdata/fashion
    for on in cpu "$device"; do
        "$here/rebrew" run "$fashion/deploy.prototxt" -w "$fashion/fashion.caffemodel" --random-input --seed 1 --all-blobs \
            --device "$on" -o "$results/$on.npz" --force || return 1
        "$here/rebrew" finetune "$fashion/deploy.prototxt" -w "$fashion/fashion.caffemodel" \
            --data "$fashion/t10k-sample-images-idx3-ubyte.gz" --classes 0,2,4,6 --input-scale 0.00390625 --freeze 'conv*' \
            --optimizer sgd --lr 0.01 --epochs 1 --seed 1 --device "$on" -o "$results/tuned-$on" --force || return 1
    done
    "$here/rebrew" diff "$results/$device.npz" "$results/cpu.npz" --rtol 1e-4 --atol 1e-5 || return 1
    "$here/rebrew" diff "$results/tuned-$device/last.caffemodel" "$results/tuned-cpu/last.caffemodel" --rtol 1e-4 --atol 1e-5
}

if [ "$device" = cpu ]; then
    smoke=--smoke
    check conformance conformance matrix::
    skip "compute-sanitizer" "there is no GPU"
else
    smoke=
    check conformance conformance
    if command -v compute-sanitizer >/dev/null 2>&1; then
        for tool in memcheck racecheck; do
            check "compute-sanitizer, $tool" \
                compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/conformance" --test-threads 1
        done
    else
        skip "compute-sanitizer" "it is not installed; a CUDA toolkit has it"
    fi
fi
check "same net" same_net

# shellcheck disable=SC2086 # no word where it is not a smoke test
"$here/gpu_report" --device "$device" $smoke --torch "$here/torch_worker.py" --errors "$results/errors.tsv" \
    --outcomes "$results/outcomes.tsv" --out "$results" || exit 2
echo "wrote $results/report.md and $results/report.json"
exit $failed
