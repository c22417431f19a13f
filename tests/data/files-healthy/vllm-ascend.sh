#!/bin/bash
set -euo pipefail
export HCCL_OP_EXPANSION_MODE="AIV"
export OMP_PROC_BIND=false
export OMP_NUM_THREADS=1
export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
export HCCL_BUFFSIZE=512
export VLLM_ASCEND_ENABLE_MLAPO=1
nic_name="enp67s0f5"
local_ip=192.168.1.10
export HCCL_IF_IP=$local_ip
export GLOO_SOCKET_IFNAME=$nic_name
export TP_SOCKET_IFNAME=$nic_name
vllm serve /models/GLM-4.7-W8A8 \
  --host 0.0.0.0 --port 8077 \
  --data-parallel-size 2 --tensor-parallel-size 8 \
  --enable-expert-parallel --seed 1024 \
  --served-model-name glm \
  --max-num-seqs 16 --max-model-len 133000 --max-num-batched-tokens 8192 \
  --trust-remote-code --quantization ascend \
  --gpu-memory-utilization 0.9 \
  --speculative-config '{"num_speculative_tokens": 3, "method":"mtp", "enforce_eager": true}' \
  --compilation-config '{"cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes":[1,2,4]}' \
  --additional-config '{"enable_shared_expert_dp": true}' \
  --tool-call-parser glm47 --reasoning-parser glm45 --enable-auto-tool-choice
