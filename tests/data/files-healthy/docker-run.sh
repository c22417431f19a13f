#!/usr/bin/env bash
export DEVICE=/dev/davinci0
export IMAGE=quay.io/ascend/vllm-ascend:v0.18.0
docker run --rm --name vllm-ascend --shm-size=1g \
    --device $DEVICE \
    --device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc \
    -v /usr/local/dcmi:/usr/local/dcmi \
    -v /usr/local/bin/npu-smi:/usr/local/bin/npu-smi \
    -v /usr/local/Ascend/driver/lib64/:/usr/local/Ascend/driver/lib64/ \
    -v /usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info \
    -v /etc/ascend_install.info:/etc/ascend_install.info \
    -v /root/.cache:/root/.cache \
    -p 8000:8000 \
    -e VLLM_USE_MODELSCOPE=True \
    -it $IMAGE bash
docker run --runtime nvidia --gpus all -v ~/.cache/huggingface:/root/.cache/huggingface \
    --env "HUGGING_FACE_HUB_TOKEN=$HF_TOKEN" -p 8000:8000 --ipc=host vllm/vllm-openai:v0.11.0 \
    --model Qwen/Qwen3-0.6B --tensor-parallel-size 2
cat <<EOF > /tmp/x
"unbalanced
EOF
if [ -f /tmp/x ]; then
  echo "it's fine" # a comment
fi
for i in 0 1 2 3; do
  CUDA_VISIBLE_DEVICES=$i nohup python -m sglang.launch_server --model-path /m/x --port $((30000+i)) --host 0.0.0.0 > log.$i 2>&1 &
done
wait
