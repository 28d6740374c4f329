// What libraries are slow at in small networks: pictures of 16-bit floats with their channels side by side, of which each
// channel is filtered by itself. A thread makes STRIP neighbours of V channels; sums are in 32 bits.

typedef unsigned short Half;  // its bits; cuda_fp16.h is not everywhere

constexpr int STRIP = 2;  // as in nhwc.py

template <int V>
struct alignas(2 * V) Channels {
    Half at[V];
};

__device__ float wide(Half bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ Half narrow(float value) {
    Half bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// 3x3, zeros around. `w` [channels][9] and `b` [channels] (null: zeros); shared memory for ten floats a channel.
template <int V>
__device__ void depthwise(const Half* x, const Half* w, const Half* b, Half* out, int height, int width, int channels,
                          int relu) {
    extern __shared__ float shared[];
    float* bias = shared + 9 * channels;
    for (int k = threadIdx.x; k < 9 * channels; k += blockDim.x) shared[k] = wide(w[k]);
    for (int k = threadIdx.x; k < channels; k += blockDim.x) bias[k] = b ? wide(b[k]) : 0.f;
    __syncthreads();
    int groups = channels / V, strips = (width + STRIP - 1) / STRIP;
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    int c = k % groups * V, left = k / groups % strips * STRIP, y = k / groups / strips;
    if (y >= height) return;
    long long picture = (long long)blockIdx.y * height * width * channels;
    float sum[STRIP][V];
    for (int i = 0; i < STRIP; ++i)
        for (int n = 0; n < V; ++n) sum[i][n] = bias[c + n];
#pragma unroll
    for (int j = -1; j <= 1; ++j) {
        if (y + j < 0 || y + j >= height) continue;
        const Half* row = x + picture + (long long)(y + j) * width * channels + c;
        float weight[3][V];
        for (int t = 0; t < 3; ++t)
            for (int n = 0; n < V; ++n) weight[t][n] = shared[(c + n) * 9 + (j + 1) * 3 + t];
#pragma unroll
        for (int i = -1; i <= STRIP; ++i) {
            int column = left + i;
            if (column < 0 || column >= width) continue;
            Channels<V> seen = *(const Channels<V>*)(row + column * channels);
#pragma unroll
            for (int t = 0; t < 3; ++t) {
                int to = i + 1 - t;
                if (to < 0 || to >= STRIP) continue;
#pragma unroll
                for (int n = 0; n < V; ++n) sum[to][n] += weight[t][n] * wide(seen.at[n]);
            }
        }
    }
    for (int i = 0; i < STRIP && left + i < width; ++i) {
        Channels<V> made;
        for (int n = 0; n < V; ++n) made.at[n] = narrow(relu ? fmaxf(sum[i][n], 0.f) : sum[i][n]);
        *(Channels<V>*)(out + picture + ((long long)y * width + left + i) * channels + c) = made;
    }
}

extern "C" __global__ void depthwise_4(const Half* x, const Half* w, const Half* b, Half* out, int height, int width,
                                       int channels, int relu) {
    depthwise<4>(x, w, b, out, height, width, channels, relu);
}

extern "C" __global__ void depthwise_2(const Half* x, const Half* w, const Half* b, Half* out, int height, int width,
                                       int channels, int relu) {
    depthwise<2>(x, w, b, out, height, width, channels, relu);
}

extern "C" __global__ void depthwise_1(const Half* x, const Half* w, const Half* b, Half* out, int height, int width,
                                       int channels, int relu) {
    depthwise<1>(x, w, b, out, height, width, channels, relu);
}

// The largest of each 2x2; `height` and `width` are those of `out`, channels a multiple of 8.
extern "C" __global__ void halve(const Half* x, Half* out, int height, int width, int channels) {
    int k = blockIdx.x * blockDim.x + threadIdx.x, groups = channels / 8;
    int c = k % groups * 8, column = k / groups % width, y = k / groups / width;
    if (y >= height) return;
    const Half* first = x + (((long long)blockIdx.y * height + y) * 4 * width + column * 2) * channels + c;
    Channels<8> seen[4], made;
    for (int i = 0; i < 4; ++i)
        seen[i] = *(const Channels<8>*)(first + ((long long)(i / 2) * 2 * width + i % 2) * channels);
    for (int n = 0; n < 8; ++n)
        made.at[n] = narrow(fmaxf(fmaxf(wide(seen[0].at[n]), wide(seen[1].at[n])),
                                  fmaxf(wide(seen[2].at[n]), wide(seen[3].at[n]))));
    *(Channels<8>*)(out + (((long long)blockIdx.y * height + y) * width + column) * channels + c) = made;
}
