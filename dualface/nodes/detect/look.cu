// Before the network that finds faces: NV12 to a small planar batch, and to thumbnails by which cuts are found.

struct Shrink {
    const unsigned char* source;
    float* out;              // [n, 3, height, width], channels in 0..white, as far apart as `apart` says
    unsigned char* luma;     // [n, stored height, stored width]
    long long step;          // bytes from picture to picture
    long long apart[4];      // samples of `out` from picture to picture, channel, row, column
    int rows, pitch;         // luma rows as stored, bytes a row
    int crop_width, crop_height;      // the part of the planes that is read
    int stored_width, stored_height;  // its small size before rotation
    int rotation, halvings;
    float white;
    float weights[12];       // rows for the channels: of Y, U, V and 1
};

// The mean of a plane's samples within [x0, x1) x [y0, y1), whole samples, at least one.
__device__ float mean(const unsigned char* plane, int pitch, float x0, float x1, float y0, float y1) {
    int left = (int)x0, top = (int)y0;
    int right = max((int)x1, left + 1), bottom = max((int)y1, top + 1);
    int sum = 0;
    for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x) sum += plane[(long long)y * pitch + x];
    return (float)sum / ((right - left) * (bottom - top));
}

// A sample of luma halved LEVEL times: the rounded mean of four of the level below.
template <int LEVEL>
__device__ int halved(const unsigned char* plane, int pitch, int x, int y) {
    if constexpr (LEVEL == 0) {
        return plane[(long long)y * pitch + x];
    } else {
        if (LEVEL == 2 && pitch % 4 == 0 && (size_t)plane % 4 == 0) {
            const unsigned char* from = plane + (long long)y * 4 * pitch + x * 4;
            int sum = 2;
            for (int j = 0; j < 2; ++j, from += 2 * pitch) {
                unsigned upper = *(const unsigned*)from, lower = *(const unsigned*)(from + pitch);
                sum += (__dp4a(lower, 0x0101u, __dp4a(upper, 0x0101u, 2u)) >> 2) +
                       (__dp4a(lower, 0x01010000u, __dp4a(upper, 0x01010000u, 2u)) >> 2);
            }
            return sum >> 2;
        }
        return (halved<LEVEL - 1>(plane, pitch, 2 * x, 2 * y) + halved<LEVEL - 1>(plane, pitch, 2 * x + 1, 2 * y) +
                halved<LEVEL - 1>(plane, pitch, 2 * x, 2 * y + 1) + halved<LEVEL - 1>(plane, pitch, 2 * x + 1, 2 * y + 1) + 2) >> 2;
    }
}

__device__ int halved(const unsigned char* plane, int pitch, int x, int y, int level) {
    switch (level) {
        case 0: return halved<0>(plane, pitch, x, y);
        case 1: return halved<1>(plane, pitch, x, y);
        case 2: return halved<2>(plane, pitch, x, y);
        case 3: return halved<3>(plane, pitch, x, y);
        default: return halved<4>(plane, pitch, x, y);
    }
}

// The two samples between which a sample of a line lies, and their weights in 2048ths.
struct Between { int first, second, of_first, of_second; };

__device__ Between between(int at, int size, int wanted) {
    float place = (float)((at + 0.5) * ((double)size / wanted) - 0.5);
    int first = (int)floorf(place);
    float share = place - first;
    if (first < 0) { first = 0; share = 0.f; }
    if (first >= size - 1) { first = size - 1; share = 0.f; }
    return {first, min(first + 1, size - 1), (int)rintf((1.f - share) * 2048.f), (int)rintf(share * 2048.f)};
}

// A thread makes one pixel of the small picture as stored, and puts it where it is shown: luma halved, then
// between four samples, chroma from the nearest pair. To the bit what OpenCV makes on the CPU (small.py), whose
// weights have 11 bits of which some are cut off on the way.
extern "C" __global__ void shrink(Shrink p) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, n = blockIdx.z;
    if (x >= p.stored_width || y >= p.stored_height) return;
    const unsigned char* luma = p.source + n * p.step;
    const unsigned char* chroma = luma + (long long)p.rows * p.pitch;
    int level = min(p.halvings, 4);
    Between i = between(x, p.crop_width >> level, p.stored_width), j = between(y, p.crop_height >> level, p.stored_height);
    int upper = i.of_first * halved(luma, p.pitch, i.first, j.first, level) + i.of_second * halved(luma, p.pitch, i.second, j.first, level);
    int lower = i.of_first * halved(luma, p.pitch, i.first, j.second, level) + i.of_second * halved(luma, p.pitch, i.second, j.second, level);
    float l = (j.of_first * (upper >> 4) >> 16) + (j.of_second * (lower >> 4) >> 16) + 2 >> 2;
    int pairs = max(1, p.crop_width / 2), lines = max(1, p.crop_height / 2);
    const unsigned char* pair = chroma + (long long)(y * lines / p.stored_height) * p.pitch + x * pairs / p.stored_width * 2;
    float u = pair[0], v = pair[1];
    p.luma[((long long)n * p.stored_height + y) * p.stored_width + x] = (unsigned char)l;
    int to_x = x, to_y = y;
    if (p.rotation == 90) { to_x = p.stored_height - 1 - y; to_y = x; }
    if (p.rotation == 180) { to_x = p.stored_width - 1 - x; to_y = p.stored_height - 1 - y; }
    if (p.rotation == 270) { to_x = y; to_y = p.stored_width - 1 - x; }
    for (int c = 0; c < 3; ++c) {
        const float* w = p.weights + 4 * c;
        float value = fminf(fmaxf(w[0] * l + w[1] * u + w[2] * v + w[3], 0.f), p.white);
        p.out[n * p.apart[0] + c * p.apart[1] + to_y * p.apart[2] + to_x * p.apart[3]] = value;
    }
}

// The thumbnail [n, 18, 32] by which cuts are found: means of the small luma.
extern "C" __global__ void thumbs(const unsigned char* luma, float* out, int width, int height) {
    int x = threadIdx.x, y = threadIdx.y, n = blockIdx.x;
    float across = width / 32.f, down = height / 18.f;
    out[(n * 18 + y) * 32 + x] =
        mean(luma + (long long)n * width * height, width, x * across, (x + 1) * across, y * down, (y + 1) * down);
}
