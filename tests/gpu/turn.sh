#!/usr/bin/env bash
# One turn on a GPU machine: builds the plug-in and its tests from this tree, outside it, and runs them; prints little.
#
#   bash tests/gpu/turn.sh [full|bench]     default: the quick tests, then the rest and the benchmarks as time allows
#
# Needs nvcc 13 and CMake only. LOOPD_TURN_SECONDS bounds the whole turn (default 50, the build not counted).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LOOPD_GPU_BUILD:-/dev/shm/loopd-gpu}
mkdir -p "$build"
# On a machine with several GPUs the last one is ours.
gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
if [ "$gpus" -ge 2 ] && [ -z "${CUDA_VISIBLE_DEVICES:-}" ]; then export CUDA_VISIBLE_DEVICES=$((gpus - 1)); fi
export PATH=$PATH:/usr/local/cuda/bin
if [ -z "${LOOPD_CUBLASLT:-}" ] && ! ldconfig -p | grep -q libcublasLt.so.13 && [ ! -e /usr/local/cuda/lib64/libcublasLt.so.13 ]; then
  found=$(find / -xdev -name 'libcublasLt.so.13' 2>/dev/null | head -1)
  [ -n "$found" ] && export LOOPD_CUBLASLT=$found
fi

start=$SECONDS
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
if ! { cmake -S "$root/tests/gpu/ops" -B "$build/ops" "${generator[@]}" -DLOOPD_CUDA_ARCHITECTURES=90 && cmake --build "$build/ops" -j "$(nproc)"; } >"$build/build.log" 2>&1; then
  grep -E "error|FAILED" "$build/build.log" | head -30
  tail -5 "$build/build.log"
  exit 1
fi
echo "built in $((SECONDS - start)) s"
grep -E "warning" "$build/build.log" | head -5

ops() { timeout 40 "$build/ops/gpu_ops" "$build/ops/libloopd_cuda.so" "$@" 2>&1 | tail -70; echo "gpu_ops $*: rc ${PIPESTATUS[0]}, $((SECONDS - start)) s in"; }
case "${1:-}" in
  full) ops ;;
  bench) ops --bench default --bench 40b ;;
  *)
    ops --quick
    # What overlap and clusters are worth: the small model's step without either.
    for off in LOOPD_CUDA_NO_OVERLAP LOOPD_CUDA_NO_CLUSTERS; do
      echo "$off"
      env $off=1 LOOPD_BENCH_BRIEF=1 timeout 40 "$build/ops/gpu_ops" "$build/ops/libloopd_cuda.so" --quick --bench default | grep decode
    done
    ops --bench default --bench 40b
    LOOPD_BENCH_PREFILL=1 ops --bench default --bench 40b
    if [ -x "$root/tests/gpu/run" ] && [ -z "${LOOPD_TURN_OPS_ONLY:-}" ]; then
      LOOPD_GPU_NO_SANITIZER=1 LOOPD_CUDA_PLUGIN="$build/ops/libloopd_cuda.so" timeout 300 bash "$root/tests/gpu/run" 2>&1 | tail -50
    fi
    ;;
esac
