#!/bin/bash
# The long run on a machine with several GPUs, in stages that outlive the shell that starts them. WORK keeps everything.
#   run.sh begin SECONDS   takes files from PACK, trains the tokenizer (from sample.xz), picks kernels, starts training
#   run.sh add             takes further files from PACK
#   run.sh go              all parts are there: encode the corpus and make rows (training waits for the first epoch)
#   run.sh wait SECONDS [LINES [OUT]]  follows the log until training is done, or for SECONDS; once done, also `home OUT`, so that
#                          a machine that is lost between two calls takes no trained model along
#   run.sh budget SECONDS  changes the end of the training, in seconds after its start
#   run.sh results OUT S   waits for the judgement after the training and copies its cases and the logs to OUT
#   run.sh home OUT        copies the exported model and the logs to OUT;  `run.sh weights OUT N` the N-th bf16 piece
# GPUS: those that train (default all); the judgement uses all. TRAIN_FLAGS: for train.py. KERNELS: skips the choice of them.
# LONG=1: also rows of 4096 tokens, for --long-rows $WORK/long. CONTROLS=SECONDS: short controls after the training, on the last GPU
# while the others judge: those in CONTROL_NAMES (default all). JUDGES: processes a GPU that judge (4; 3 where it has 80 GB), PARTS: of the held-out set (16).
set -u
cd "$(dirname "$0")"
WORK=${WORK:-/dev/shm/loopd} PACK=${PACK:-../../.pack}
CARDS=$(nvidia-smi -L | wc -l) CORES=$(nproc)
GPUS=${GPUS:-$CARDS}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=true GLOO_SOCKET_IFNAME=lo NCCL_SOCKET_IFNAME=lo NCCL_NVLS_ENABLE=0 RAYON_NUM_THREADS=$((CORES / 2))
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True TORCHINDUCTOR_CACHE_DIR=$WORK/inductor OMP_NUM_THREADS=4
mkdir -p $WORK/pack $WORK/logs
logs=$WORK/logs

tokenizer() {
  if [ -e $WORK/pack/sample.xz ] && timeout 120 python3 tokenizer.py $WORK/pack/sample.xz --out $WORK/made.json --megabytes 90; then
    mv $WORK/made.json $WORK/tokenizer.json
  else
    cp ../default/tokenizer.json $WORK/tokenizer.json
  fi
  python3 tokenizer_golden.py $WORK/tokenizer.json $WORK/tokenizer_hf.json || touch $WORK/tokenizer_hf.json
}

# One GPU per candidate; whichever is right and fastest is trained with.
kernels() {
  local gpu=0 checks=""
  if [ -n "${KERNELS:-}" ]; then
    echo $KERNELS > $WORK/kernels
    return
  fi
  for name in flex cudnn-grouped cudnn-expanded flash-expanded; do
    CUDA_VISIBLE_DEVICES=$((gpu++ % GPUS)) timeout 75 python3 check.py attention --kernels $name > $logs/attention-$name.log 2>&1 &
    checks+=" $!"
  done
  wait $checks
  cat $logs/attention-*.log | python3 pick_kernels.py > $WORK/kernels
}

train() {
  kernels
  ${LAUNCH:-python3 -m torch.distributed.run --nproc-per-node $GPUS --master-addr 127.0.0.1 --master-port 29511} train.py \
    --rows $WORK/rows --out $WORK/run --tokenizer $WORK/tokenizer.json --kernels "$(cat $WORK/kernels)" \
    --seconds $1 --budget-file $WORK/budget ${TRAIN_FLAGS:-} > $logs/train.log 2>&1
  echo "exit $?" > $WORK/trained
  local gpu
  for ((gpu = 0; gpu < CARDS; gpu++)); do
    { [ $gpu != $((CARDS - 1)) ] || [ -z "${CONTROLS:-}" ] || controls $gpu $CONTROLS; judge $gpu; } &
  done
  wait
  touch $WORK/evaluated
}

# Every depth on every set of prompts. A part is judged by the process that claims it first.
judge() {
  local i
  for ((i = 0; i < ${JUDGES:-4}; i++)); do judge_parts $1 & done
  wait
}
judge_parts() {
  local set part parts
  for set in humaneval heldout; do
    [ -e $WORK/pack/prompts-$set.jsonl.xz ] || continue
    parts=1
    [ $set = humaneval ] || parts=${PARTS:-16}
    for ((part = 0; part < parts; part++)); do
      mkdir $WORK/judged-$set-$part 2> /dev/null || continue
      timeout ${JUDGE_SECONDS:-300} python3 evaluate.py $WORK/run/model --tokenizer $WORK/tokenizer.json --int4 --gpu $1 --part $part/$parts \
        --prompts $WORK/pack/prompts-$set.jsonl.xz --out $logs/cases-$set-$part.jsonl ${JUDGE_FLAGS:-} > $logs/evaluate-$set-$part.log 2>&1
    done
  done
}

# Equal time on one GPU, from nothing: the unlooped twin, twice the layers (the twin of depth 2), and the looped recipe.
controls() {
  local name flags
  while read -r name flags; do
    [[ " ${CONTROL_NAMES:-unlooped deep looped} " == *" $name "* ]] || continue
    CUDA_VISIBLE_DEVICES=$1 python3 train.py --rows $WORK/rows --out $WORK/control-$name --kernels "$(cat $WORK/kernels)" \
      --seconds $2 --from-warm --loops-from 0.3 --stop-loss 9 --validate-every 1000 $flags > $logs/control-$name.log 2>&1 < /dev/null
  done <<< "unlooped --depths 1:1
deep --depths 1:1 --layers 20
looped --depths 1:.12,2:.42,3:.46"
}

# From text (part-*.xz), or from a corpus that was encoded elsewhere (encoded.py).
corpus() {
  if compgen -G "$WORK/pack/tokens-*.xz" > /dev/null; then
    [ ! -e $WORK/pack/sample.xz ] || { echo "sample.xz makes a new tokenizer, and tokens-*.xz are ids of the old one: leave one out"; return 1; }
    python3 encoded.py unpack $WORK/pack $WORK/corpus --workers $CORES
  else
    while [ ! -e $WORK/tokenizer.json ] || [ ! -e $WORK/tokenizer_hf.json ]; do sleep 0.3; done
    local apart=""
    [ -e $WORK/pack/heldout.xz ] && apart="--held-out $WORK/pack/heldout.xz"
    python3 corpus.py $WORK/corpus $WORK/pack/part-*.xz $apart --tokenizer $WORK/tokenizer.json --workers $((CORES * 3 / 4))
  fi
}

rows() {
  corpus && while [ ! -e $WORK/tokenizer.json ]; do sleep 0.3; done &&
  { [ -z "${LONG:-}" ] || (sleep 40; python3 rows.py $WORK/corpus $WORK/long --tokenizer $WORK/tokenizer.json --epochs 3 --seed ${SEED:-1} --length 4097 \
      --longest 3600 --workers $((CORES / 4)) > $logs/long.log 2>&1) & } &&
  python3 rows.py $WORK/corpus $WORK/rows --tokenizer $WORK/tokenizer.json --epochs ${EPOCHS:-30} --slices ${SLICES:-4} --seed ${SEED:-1} \
    --workers $((CORES / 2))
}

stage=$1
case $stage in
  begin)
    cp $PACK/* $WORK/pack/
    cp -r . $WORK/code && cp ../evaluate/similarity.py $WORK/code/ && cd $WORK/code && cp -r "$OLDPWD/../default" $WORK/
    setsid nohup bash ./run.sh _tokenizer > $logs/tokenizer.log 2>&1 < /dev/null &
    setsid nohup bash ./run.sh _train $2 > $logs/stage.log 2>&1 < /dev/null &
    sleep 0.5; ls -l $WORK/pack ;;
  _tokenizer) tokenizer ;;
  _train) train $2 ;;
  _rows) rows ;;
  add) cp $PACK/* $WORK/pack/; ls -l $WORK/pack ;;
  go)
    cd $WORK/code
    setsid nohup bash ./run.sh _rows > $logs/rows.log 2>&1 < /dev/null & ;;
  wait)
    until [ -e $WORK/trained ] || [ $SECONDS -ge $2 ]; do sleep 0.5; done
    tail -n 5 $logs/tokenizer.log $logs/rows.log $logs/stage.log; cat $logs/attention-*.log | grep '^{'
    cut -c1-900 $logs/train.log | tail -n ${3:-12}; cat $WORK/trained 2>/dev/null; ls $WORK/rows
    if [ -e $WORK/trained ] && [ -n "${4:-}" ]; then bash ./run.sh home $4; fi ;;
  budget) echo $2 > $WORK/budget ;;
  home)
    cp $WORK/run/model/*.safetensors $2/
    cp $WORK/run/model/*.json $WORK/tokenizer_hf.json $WORK/run/log.jsonl $WORK/kernels $logs/ 2>/dev/null
    tar -C $logs -czf $2/results.tgz .
    tail -n 3 $logs/train.log | cut -c1-900 ;;
  weights) python3 pieces.py $WORK/run/weights.pt $2 $3 ;;
  results)
    until [ -e $WORK/evaluated ] || [ $SECONDS -ge $3 ]; do sleep 0.5; done
    cp $WORK/run/log.jsonl $logs/
    for name in looped unlooped deep; do cp $WORK/control-$name/log.jsonl $logs/control-$name.jsonl; done 2> /dev/null
    tar -C $logs -czf $2/results.tgz .; cat $logs/evaluate-*.log | tail -n 60 ;;
esac
exit 0
