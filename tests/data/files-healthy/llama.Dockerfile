# syntax=docker/dockerfile:1
ARG CUDA=12.4.1
FROM nvidia/cuda:${CUDA}-devel-ubuntu22.04 AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update && \
    # tools
    apt-get install -y --no-install-recommends git cmake curl && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake -B build -DGGML_CUDA=ON -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined . && cmake --build build -j
FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04
RUN apt-get update \
 && apt-get install -y libgomp1 curl \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/bin /app
ENV LLAMA_ARG_HOST=0.0.0.0 LLAMA_ARG_PORT=8080
RUN <<EOF
set -e
echo 'hello "world'
EOF
HEALTHCHECK CMD [ "curl", "-f", "http://localhost:8080/health" ]
ENTRYPOINT [ "/app/llama-server" ]
CMD ["--n-gpu-layers", "99"]
