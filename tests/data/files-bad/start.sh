#!/bin/sh
# start vLLM on 4 Ascend cards
source /usr/local/Ascend/ascend-toolkit/set_env.sh
export ASCEND_VISIBLE_DEVICES=0,1,2,3
export PYTORCH_CUDA_ALLOC_CONF=max_segment_size:256MB
export HCCL_BUFFSIZE=1048576
export HCCL_CONNECT_TIMEOUT=180
export MAX_BATCH_SIZE=16
python3 -m vllm.entrypoints.llm \
  --model /models/glm-4-9b-chat \
  --tokenizer /models/glm-4-9b-chat/tokenizer \
  --device ascend \
  --tensor-parallel-size 4 \   # four cards
  --prefill-chunk-size 8192 \
  --num-lookahead-slots 4 \
  --gpu-memory-utilization 0.9 \
  --port 8000 2>&1 | tee /var/log/vllm.log
