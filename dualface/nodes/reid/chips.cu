// Faces cut out upright, straight from NV12, as align.cut_out does on the CPU.

constexpr int MOST = 8;  // faces of a launch, as in embed_cuda.py

struct Cut {
    const unsigned char* source;
    float* out;              // [n, 3, size, size], as far apart as `apart` says
    long long apart[4];      // samples of `out` from face to face, channel, row, column
    int rows, pitch;         // luma rows as stored, bytes a row
    int width, height;       // of the visible picture as stored
    int size;
    float mean, scale;       // what is shown is (x - mean) * scale
    float weights[12];       // rows for the channels: of Y, U, V and 1
    float ways[MOST][6];     // [2, 3]: from a face's picture to places in the luma plane
    int blocks[MOST][2];     // sides of the blocks that are averaged first, of luma and of chroma
};

// The mean of a block of samples, in whole levels; blocks beyond the edge are those at the edge.
__device__ float block_mean(const unsigned char* plane, int pitch, int step, int width, int height, int block, int i, int j) {
    i = min(max(i, 0), max(width / block - 1, 0));
    j = min(max(j, 0), max(height / block - 1, 0));
    int sum = 0, count = 0;
    for (int y = j * block; y < min((j + 1) * block, height); ++y)
        for (int x = i * block; x < min((i + 1) * block, width); ++x, ++count) sum += plane[(long long)y * pitch + x * step];
    return block == 1 ? (float)sum : rintf((float)sum / count);
}

// Between the four blocks around a place in the plane.
__device__ float between(const unsigned char* plane, int pitch, int step, int width, int height, int block, float x, float y) {
    x = x / block - 0.5f;
    y = y / block - 0.5f;
    int i = (int)floorf(x), j = (int)floorf(y);
    float u = x - i, v = y - j;
    float upper = (1.f - u) * block_mean(plane, pitch, step, width, height, block, i, j) +
                  u * block_mean(plane, pitch, step, width, height, block, i + 1, j);
    float lower = (1.f - u) * block_mean(plane, pitch, step, width, height, block, i, j + 1) +
                  u * block_mean(plane, pitch, step, width, height, block, i + 1, j + 1);
    return (1.f - v) * upper + v * lower;
}

extern "C" __global__ void cut_out(const Cut p) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, n = blockIdx.z;
    if (x >= p.size || y >= p.size) return;
    const float* way = p.ways[n];
    float s = way[0] * (x + 0.5f) + way[1] * (y + 0.5f) + way[2], t = way[3] * (x + 0.5f) + way[4] * (y + 0.5f) + way[5];
    const unsigned char* chroma = p.source + (long long)p.rows * p.pitch;
    int across = (p.width + 1) / 2, down = (p.height + 1) / 2;
    float l = between(p.source, p.pitch, 1, p.width, p.height, p.blocks[n][0], s, t);
    // A chroma sample lies at the left of its two columns, between its two rows.
    float cx = s / 2.f + 0.25f, cy = t / 2.f;
    float u = between(chroma, p.pitch, 2, across, down, p.blocks[n][1], cx, cy);
    float v = between(chroma + 1, p.pitch, 2, across, down, p.blocks[n][1], cx, cy);
    for (int c = 0; c < 3; ++c) {
        const float* w = p.weights + 4 * c;
        float value = fminf(fmaxf(w[0] * l + w[1] * u + w[2] * v + w[3], 0.f), 255.f);
        p.out[n * p.apart[0] + c * p.apart[1] + y * p.apart[2] + x * p.apart[3]] = (value - p.mean) * p.scale;
    }
}
