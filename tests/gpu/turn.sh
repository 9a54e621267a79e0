#!/usr/bin/env bash
# One turn on a GPU machine: builds the plug-in and its tests from this tree, outside it, and runs them; prints little.
#
#   bash tests/gpu/turn.sh [PART]...     parts: pass bench run peer variants prefill sanitize ops measure; by default all but the last.
#
# Needs nvcc 13 and CMake only; `run` also .pack/gpu (tests/gpu/pack). Full logs go to $OUT, by default beside the build.
# LOOPD_TURN_SECONDS bounds the whole turn (560): a part that comes too late is skipped.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LOOPD_GPU_BUILD:-/dev/shm/loopd-gpu}
out=${OUT:-$build/out}
mkdir -p "$build" "$out"
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
plugin=$build/ops/libloopd_cuda.so

limit=${LOOPD_TURN_SECONDS:-560}
# At most that many seconds, and no more than the turn has left.
left() {
  local rest=$((limit - (SECONDS - start)))
  echo $((rest < $1 ? (rest < 1 ? 1 : rest) : $1))
}

# ops SECONDS LINES ARGUMENTS...: the whole output goes to the log, its last lines here.
ops() {
  local seconds lines=$2
  seconds=$(left "$1")
  shift 2
  timeout "$seconds" "$build/ops/gpu_ops" "$plugin" "$@" 2>&1 | tee -a "$out/ops.log" | tail -"$lines"
  code=${PIPESTATUS[0]}
  echo "gpu_ops $*: rc $code, $((SECONDS - start)) s in"
}

# variant SHAPE NAME=VALUE: batch 1 and 8 at depths 1 and 2.
variant() {
  env ${2:+"$2"} LOOPD_BENCH_ROWS=1:16,8:16 timeout "$(left 40)" "$build/ops/gpu_ops" "$plugin" --bench "$1" | grep decode | sed "s/^/$1 ${2:-as_it_is} /"
}

part() {
  echo "== $1"
  case "$1" in
    pass)
      ops 60 30 --quick --only pass
      if [ "$code" = 124 ]; then
        echo "the kernel of a whole loop hangs; the rest goes on without it"
        export LOOPD_CUDA_NO_PASS=1
      fi
      ;;
    ops) ops 60 40 --quick ;;
    bench)
      LOOPD_PASS_CLOCKS=1 LOOPD_BENCH_ROWS=1:16,4:16,8:16,1:2000 ops 40 40 --bench default
      LOOPD_PASS_CLOCKS=1 LOOPD_BENCH_ROWS=1:16,4:16,8:16,1:8192,1:32000 ops 60 40 --bench 40b
      ;;
    variants)
      # What each choice is worth that the head of cuda/pass.cu makes.
      for variant in '' LOOPD_CUDA_NO_PASS=1 LOOPD_PASS_MEET=1; do variant default "$variant"; done
      for variant in '' LOOPD_CUDA_NO_PASS=1 LOOPD_PASS_MEET=1 LOOPD_PASS_CHUNK=6 LOOPD_PASS_CHUNK=2 LOOPD_PASS_ALONE=1; do variant 40b "$variant"; done
      ;;
    measure)
      LD_LIBRARY_PATH=$root/.pack/gpu/lib LOOPD_CUDA_PLUGIN=$plugin timeout "$(left 180)" "$root/bench/gpu" --programs "$root/.pack/gpu" --out "$out" --seconds "$(left 170)" --no-peer
      ;;
    prefill) LOOPD_BENCH_PREFILL=1 ops 60 20 --bench default --bench 40b ;;
    sanitize)
      # A tenth of the shapes, a few tokens.
      for tool in memcheck racecheck; do
        LOOPD_TEST_TINY=1 timeout "$(left 100)" compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/ops/gpu_ops" "$plugin" --quick --only pass >"$out/$tool.log" 2>&1
        echo "$tool: rc $?, $(tail -1 "$out/$tool.log"), $((SECONDS - start)) s in"
      done
      ;;
    run) LOOPD_GPU_RECORD=$out/last_run.json LOOPD_CUDA_PLUGIN=$plugin timeout "$(left 330)" bash "$root/tests/gpu/run" 2>&1 | tail -60 ;;
    peer) timeout "$(left 120)" python3 "$root/bench/peer_torch.py" 2>&1 | tail -20 ;;
    *) echo "no part $1" ;;
  esac
}

[ $# -gt 0 ] || set -- pass bench run peer variants prefill sanitize ops
for one in "$@"; do
  if [ "$(left 20)" -lt 20 ]; then
    echo "skip $one: the turn's $limit s are over"
    continue
  fi
  part "$one"
  echo "$one done, $((SECONDS - start)) s in"
done
