// Crops of NV12 pictures into the tiles of NV12 pictures: one launch a batch.
//
// A thread makes one luma pixel, or one U and V: the blocks of the chroma plane follow those of the luma
// plane. Weights are Catmull-Rom (Keys 1981, a = -1/2), widened by the ratio where the picture is reduced,
// so that nothing aliases. Nothing is read beyond the visible picture: its edges repeat.

constexpr int ACROSS = 32, DOWN = 8;   // threads of a block; must match cuda.py

struct Tile { int x, y, width, height; };

struct Picture {
    const unsigned char* source;
    unsigned char* out;
    int source_rows, source_pitch, source_width, source_height;   // rows: luma rows as stored
    int out_rows, out_pitch;
    long long source_step, out_step;                               // bytes from picture to picture
    int rotation, black, tiles;
};

__device__ float cubic(float x) {
    x = fabsf(x);
    if (x < 1.f) return (1.5f * x - 2.5f) * x * x + 1.f;
    if (x < 2.f) return ((-0.5f * x + 2.5f) * x - 4.f) * x + 2.f;
    return 0.f;
}

// One output sample of CHANNELS interleaved ones; x, y: its place in samples of the plane.
// Enlarged, four taps an axis are all there are.
template <int CHANNELS>
__device__ void enlarge(const unsigned char* plane, int pitch, int width, int height, float x, float y, float* result) {
    int left = (int)floorf(x) - 1, top = (int)floorf(y) - 1;
    float wx[4];
    int columns[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        wx[i] = cubic(left + i - x);
        columns[i] = min(max(left + i, 0), width - 1) * CHANNELS;
    }
    float sum[CHANNELS] = {};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        float wy = cubic(top + j - y);
        const unsigned char* row = plane + (long long)min(max(top + j, 0), height - 1) * pitch;
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c) sum[c] += wy * wx[i] * row[columns[i] + c];
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) result[c] = sum[c];
}

template <int CHANNELS>
__device__ void reduce(const unsigned char* plane, int pitch, int width, int height,
                       float x, float y, float ratio_x, float ratio_y, float* result) {
    ratio_x = fmaxf(ratio_x, 1.f);
    ratio_y = fmaxf(ratio_y, 1.f);
    int left = (int)ceilf(x - 2.f * ratio_x), right = (int)floorf(x + 2.f * ratio_x);
    int top = (int)ceilf(y - 2.f * ratio_y), bottom = (int)floorf(y + 2.f * ratio_y);
    float sum[CHANNELS] = {}, total = 0.f;
    for (int j = top; j <= bottom; ++j) {
        float wy = cubic((j - y) / ratio_y);
        const unsigned char* row = plane + (long long)min(max(j, 0), height - 1) * pitch;
        for (int i = left; i <= right; ++i) {
            float weight = wy * cubic((i - x) / ratio_x);
            total += weight;
            for (int c = 0; c < CHANNELS; ++c) sum[c] += weight * row[min(max(i, 0), width - 1) * CHANNELS + c];
        }
    }
    for (int c = 0; c < CHANNELS; ++c) result[c] = sum[c] / total;
}

template <int CHANNELS>
__device__ void sample(const unsigned char* plane, int pitch, int width, int height,
                       float x, float y, float ratio_x, float ratio_y, float* result) {
    if (ratio_x <= 1.f && ratio_y <= 1.f) enlarge<CHANNELS>(plane, pitch, width, height, x, y, result);
    else reduce<CHANNELS>(plane, pitch, width, height, x, y, ratio_x, ratio_y, result);
}

__device__ unsigned char byte_of(float value) {
    return (unsigned char)fminf(fmaxf(value + 0.5f, 0.f), 255.f);
}

// From a place in the upright tile (0..1 across and down) to samples of the stored plane.
__device__ void place(const float* crop, int rotation, float u, float v, float shift,
                      int per, float& x, float& y) {
    float across = crop[2] - crop[0], down = crop[3] - crop[1];
    // `crop` is that of the stored picture; (u, v) are turned to it.
    float s = u, t = v;
    if (rotation == 90) { s = v; t = 1.f - u; }
    if (rotation == 180) { s = 1.f - u; t = 1.f - v; }
    if (rotation == 270) { s = 1.f - v; t = u; }
    x = (crop[0] + s * across) / per - 0.5f + shift;
    y = (crop[1] + t * down) / per - 0.5f;
}

extern "C" __global__ void compose(Picture p, const Tile* tiles, const float* crops, const unsigned char* blank) {
    int n = blockIdx.z;
    int x = blockIdx.x * ACROSS + threadIdx.x, y = blockIdx.y * DOWN + threadIdx.y;
    int luma_blocks = (p.out_rows + DOWN - 1) / DOWN;
    bool chroma = blockIdx.y >= luma_blocks;
    if (chroma) y -= luma_blocks * DOWN;
    int per = chroma ? 2 : 1;
    if (x >= p.out_pitch / per || y >= p.out_rows / per) return;
    unsigned char* out = p.out + n * p.out_step + (chroma ? (long long)p.out_rows * p.out_pitch : 0)
                       + (long long)y * p.out_pitch + x * per;
    int middle_x = x * per, middle_y = y * per;
    for (int t = 0; t < p.tiles; ++t) {
        Tile tile = tiles[t];
        if (middle_x < tile.x || middle_y < tile.y || middle_x >= tile.x + tile.width || middle_y >= tile.y + tile.height)
            continue;
        if (blank[n * p.tiles + t]) break;
        const float* crop = crops + (n * p.tiles + t) * 4;
        float u = ((x - tile.x / per) + 0.5f) / (tile.width / per);
        float v = ((y - tile.y / per) + 0.5f) / (tile.height / per);
        bool turned = p.rotation == 90 || p.rotation == 270;
        float ratio_x = (crop[2] - crop[0]) / (turned ? tile.height : tile.width);
        float ratio_y = (crop[3] - crop[1]) / (turned ? tile.width : tile.height);
        float sx, sy, value[2];
        // Left-sited chroma lies a quarter of its pixel left of the middle, before and after.
        float shift = chroma && p.rotation == 0 ? 0.25f * (1.f - ratio_x) : 0.f;
        place(crop, p.rotation, u, v, shift, per, sx, sy);
        const unsigned char* source = p.source + n * p.source_step;
        if (chroma) {
            source += (long long)p.source_rows * p.source_pitch;
            sample<2>(source, p.source_pitch, (p.source_width + 1) / 2, (p.source_height + 1) / 2, sx, sy, ratio_x, ratio_y, value);
            out[0] = byte_of(value[0]);
            out[1] = byte_of(value[1]);
        } else {
            sample<1>(source, p.source_pitch, p.source_width, p.source_height, sx, sy, ratio_x, ratio_y, value);
            out[0] = byte_of(value[0]);
        }
        return;
    }
    out[0] = chroma ? 128 : p.black;
    if (chroma) out[1] = 128;
}
