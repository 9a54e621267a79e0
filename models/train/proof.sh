#!/bin/bash
# Everything the long run will execute, once and briefly, on one GPU: kernels, copy task, speed, tokenizer, rehearsal.
# usage: proof.sh OUT [SAMPLE.xz]     (about 4 minutes; OUT gets results.tgz, the rehearsal's shards, the compile cache)
set -u
results=$(realpath "$1") sample=${2:+$(realpath "$2")} work=/dev/shm/loopd-proof
cd "$(dirname "$0")"
out=$work/logs
mkdir -p "$out"
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=true GLOO_SOCKET_IFNAME=lo NCCL_SOCKET_IFNAME=lo
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True TORCHINDUCTOR_CACHE_DIR=$work/inductor
log=$out/proof.log
note() { echo "== $SECONDS s: $*" | tee -a "$log"; }

prepare() {
  if [ ! -e "$sample" ]; then
    sample=$work/trial.xz
    python3 pack_folder.py "$(python3 -c 'import numpy, os; print(os.path.dirname(os.path.dirname(numpy.__file__)))')" $sample --megabytes 60
  fi
  python3 tokenizer.py "$sample" --out "$out/tokenizer.json" --megabytes 80 &&
  python3 tokenizer_golden.py "$out/tokenizer.json" "$out/tokenizer_hf.json"
  python3 corpus.py $work/corpus "$sample" --tokenizer "$out/tokenizer.json" --workers 12 &&
  python3 rows.py $work/corpus $work/rows --tokenizer "$out/tokenizer.json" --epochs 2 --workers 12
}
prepare > "$out/prepare.log" 2>&1 &
prepared=$!

note attention
for kernels in flash-expanded cudnn-expanded flash-grouped cudnn-grouped flex; do
  timeout 150 python3 check.py attention --kernels $kernels > "$out/attention-$kernels.log" 2>&1 &
  checks+=" $!"
done
wait $checks
for f in "$out"/attention-*.log; do grep -h '^{' "$f" || { echo "$f"; tail -n 3 "$f"; }; done | tee -a "$log"
best=$(cat "$out"/attention-*.log | python3 pick_kernels.py)
note "kernels: $best"
timeout 200 python3 check.py model --kernels "$best" > "$out/model.log" 2>&1
grep '^{' "$out/model.log" | tee -a "$log"; grep -v '^{' "$out/model.log" | tail -n 12
wait $prepared
tail -n 20 "$out/prepare.log" | tee -a "$log"
note rehearsal
timeout 150 python3 -m torch.distributed.run --nproc-per-node 1 --master-addr 127.0.0.1 --master-port 29511 train.py --rows $work/rows --out $work/run --tokenizer "$out/tokenizer.json" \
  --kernels "$best" --seconds ${REHEARSAL:-60} --validate-every 15 --val-rows 32 --warmup-steps 60 --loops-from 0.5 \
  --save-state > "$out/train.log" 2>&1
cut -c1-600 "$out/train.log" | tail -n 30 | tee -a "$log"
ls -l $work/run $work/run/model >> "$log"
# Prompts made by `loopd eval infill --print-prompts`, where they were brought along.
[ -z "${PROMPTS:-}" ] || timeout 60 python3 evaluate.py $work/run/model --tokenizer "$out/tokenizer.json" --prompts "$PROMPTS" \
  --limit 32 --depths 1,2 --int4 2>&1 | tail -n 4 | tee -a "$log"
du -sh $TORCHINDUCTOR_CACHE_DIR | tee -a "$log"
cp $work/run/model/*.safetensors "$results"
cp $work/run/model/*.json $work/run/log.jsonl "$out"
tar -C $work -czf "$results/inductor.tgz" inductor
[ "$(stat -c %s "$results/inductor.tgz")" -lt 14000000 ] || rm "$results/inductor.tgz"
tar -C "$out" -czf "$results/results.tgz" .
note done
