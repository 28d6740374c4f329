// Crops of NV12 pictures into the tiles of NV12 pictures: one launch a batch.
//
// A block makes a piece of one tile's luma or chroma. Weights are Catmull-Rom (Keys 1981, a = -1/2),
// widened by the ratio where the picture is reduced, so that nothing aliases. They are separable: a block
// filters down, then across. Where it enlarges, it brings the part of the source it needs into shared memory
// first. Where the picture is turned or reduced to a tiny one, each sample is made from the source by itself.
// Nothing is read beyond the visible picture: its edges repeat.

constexpr int ACROSS = 64, DOWN = 32, THREADS = 128;  // as in cuda.py
constexpr int HIGH = 36, BYTES = 152;                  // most source rows a block holds, and bytes of each

struct Tile { int x, y, width, height; };

// Picture by picture, tile by tile; MOST in cuda.py. NaN: the tile is blank, or to be mended if a 1 follows.
struct Crops { float at[64][4]; };

struct Picture {
    const unsigned char* source;
    unsigned char* out;
    int source_rows, source_pitch, source_width, source_height;  // rows: luma rows as stored
    int out_rows, out_pitch;
    long long source_step, out_step;                              // bytes from picture to picture
    int rotation, black, tiles, across, luma_down, down;          // the last three: blocks of the largest tile
};

struct Plane {
    const unsigned char* data;
    int pitch, width, height;
};

__device__ float cubic(float x) {
    x = fabsf(x);
    if (x < 1.f) return (1.5f * x - 2.5f) * x * x + 1.f;
    if (x < 2.f) return ((-0.5f * x + 2.5f) * x - 4.f) * x + 2.f;
    return 0.f;
}

// Rounded and cut to 0..255, in one instruction.
__device__ unsigned byte_of(float value) {
    unsigned result;
    asm("cvt.rni.sat.u8.f32 %0, %1;" : "=r"(result) : "f"(value));
    return result;
}

// k / divisor for k up to 2048, where `inverse` is 65536 / divisor + 1: a division would cost more than the filter.
__device__ int quotient(int k, int inverse) { return k * inverse >> 16; }

__device__ int within(int value, int size) { return min(max(value, 0), size - 1); }

// One sample of CHANNELS interleaved ones at (x, y), in samples of the plane.
template <int CHANNELS>
__device__ void sample(Plane p, float x, float y, float ratio_x, float ratio_y, float* result) {
    ratio_x = fmaxf(ratio_x, 1.f);
    ratio_y = fmaxf(ratio_y, 1.f);
    int left = (int)ceilf(x - 2.f * ratio_x), right = (int)floorf(x + 2.f * ratio_x);
    int top = (int)ceilf(y - 2.f * ratio_y), bottom = (int)floorf(y + 2.f * ratio_y);
    float sum[CHANNELS] = {}, total = 0.f;
    for (int j = top; j <= bottom; ++j) {
        float wy = cubic((j - y) / ratio_y);
        const unsigned char* row = p.data + (long long)within(j, p.height) * p.pitch;
        for (int i = left; i <= right; ++i) {
            float weight = wy * cubic((i - x) / ratio_x);
            total += weight;
            for (int c = 0; c < CHANNELS; ++c) sum[c] += weight * row[within(i, p.width) * CHANNELS + c];
        }
    }
    for (int c = 0; c < CHANNELS; ++c) result[c] = sum[c] / total;
}

// Four bytes of a row from byte `at` on; where they are not all `inside` the picture, its edges repeat.
template <int CHANNELS>
__device__ unsigned four(const Plane& p, const unsigned char* row, int at, bool inside) {
    if (inside) return *(const unsigned*)(row + at);
    unsigned word = 0;
    for (int n = 0; n < 4; ++n) {
        int sample = (at + n) >> (CHANNELS - 1), channel = (at + n) & (CHANNELS - 1);
        word |= (unsigned)row[within(sample, p.width) * CHANNELS + channel] << 8 * n;
    }
    return word;
}

// What a block that makes a `piece` shares: source bytes, lines already filtered down, and the weights.
struct Shared {
    alignas(16) unsigned char held[HIGH][BYTES];
    alignas(16) float lines[DOWN][BYTES];
    float4 across[ACROSS], down[DOWN];       // of the four source samples that a sample is made of
    int column[ACROSS], row[DOWN];           // the first of those, from the first one held
};

// A piece of an upright, enlarged tile: `x0, y0` is the place of its first sample in the plane. Four bytes
// at a time, whether they are four samples of luma or two of chroma.
template <int CHANNELS>
__device__ void piece(Plane p, float x0, float y0, float ratio_x, float ratio_y, unsigned char* out, int pitch,
                      int wide, int high, Shared& shared) {
    int left = (int)floorf(x0) - 1, top = (int)floorf(y0) - 1;
    int columns = (int)floorf(x0 + (wide - 1) * ratio_x) + 3 - left;
    int rows = (int)floorf(y0 + (high - 1) * ratio_y) + 3 - top;
    int base = left * CHANNELS & ~3, skipped = left * CHANNELS - base;
    int words = (skipped + columns * CHANNELS + 3) / 4;
    bool inside = base >= 0 && base + words * 4 <= p.width * CHANNELS && p.pitch % 4 == 0 && (size_t)p.data % 4 == 0;
    int inverse = 65536 / words + 1;
    for (int k = threadIdx.x; k < rows * words; k += THREADS) {
        int j = quotient(k, inverse), i = k - j * words;
        const unsigned char* from = p.data + (long long)within(top + j, p.height) * p.pitch;
        int at = base + i * 4;
        *(unsigned*)&shared.held[j][i * 4] = four<CHANNELS>(p, from, at, inside);
    }
    if (threadIdx.x < ACROSS + DOWN) {
        bool horizontal = threadIdx.x < ACROSS;
        int n = horizontal ? threadIdx.x : threadIdx.x - ACROSS;
        float at = horizontal ? x0 + n * ratio_x : y0 + n * ratio_y;
        int first = (int)floorf(at) - 1;
        (horizontal ? shared.across[n] : shared.down[n]) =
            make_float4(cubic(first - at), cubic(first + 1 - at), cubic(first + 2 - at), cubic(first + 3 - at));
        (horizontal ? shared.column[n] : shared.row[n]) = first - (horizontal ? left : top);
    }
    __syncthreads();
    for (int k = threadIdx.x; k < high * words; k += THREADS) {
        int j = quotient(k, inverse), i = k - j * words, from = shared.row[j];
        float4 weights = shared.down[j], sum = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll
        for (int t = 0; t < 4; ++t) {
            unsigned word = *(const unsigned*)&shared.held[from + t][i * 4];
            float weight = t == 0 ? weights.x : t == 1 ? weights.y : t == 2 ? weights.z : weights.w;
            sum.x += weight * (float)(word & 255);
            sum.y += weight * (float)(word >> 8 & 255);
            sum.z += weight * (float)(word >> 16 & 255);
            sum.w += weight * (float)(word >> 24);
        }
        *(float4*)&shared.lines[j][i * 4] = sum;
    }
    __syncthreads();
    constexpr int PER = 4 / CHANNELS, GROUPS = ACROSS / PER;
    static_assert(THREADS % GROUPS == 0);
    int i = threadIdx.x % GROUPS * PER;  // a thread keeps its columns, and their weights
    if (i >= wide) return;
    float4 w[PER];
    int begin[PER];
#pragma unroll
    for (int e = 0; e < PER; ++e) {
        w[e] = shared.across[i + e];
        begin[e] = skipped + shared.column[i + e] * CHANNELS;
    }
    for (int j = threadIdx.x / GROUPS; j < high; j += THREADS / GROUPS) {
        unsigned word = 0;
#pragma unroll
        for (int e = 0; e < PER; ++e) {
            const float* line = &shared.lines[j][begin[e]];
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c) {
                float sum = w[e].x * line[c] + w[e].y * line[CHANNELS + c] + w[e].z * line[2 * CHANNELS + c] + w[e].w * line[3 * CHANNELS + c];
                word |= byte_of(sum) << 8 * (e * CHANNELS + c);
            }
        }
        unsigned char* to = out + (long long)j * pitch + i * CHANNELS;
        if (i + PER <= wide && (size_t)to % 4 == 0)
            *(unsigned*)to = word;
        else
            for (int n = 0; n < min(PER, wide - i) * CHANNELS; ++n) to[n] = word >> 8 * n & 255;
    }
}

// The same of an upright tile that is reduced along an axis at least: a few lines at a time, as many as fit.
// Returns whether one does.
template <int CHANNELS>
__device__ bool reduced(Plane p, float x0, float y0, float ratio_x, float ratio_y, unsigned char* out, int pitch,
                        int wide, int high, Shared& shared) {
    float wide_x = fmaxf(ratio_x, 1.f), wide_y = fmaxf(ratio_y, 1.f);
    int left = (int)ceilf(x0 - 2.f * wide_x);
    int columns = (int)floorf(x0 + (wide - 1) * ratio_x + 2.f * wide_x) + 2 - left;  // one to spare for rounding
    int base = left * CHANNELS & ~3, skipped = left * CHANNELS - base;
    int words = (skipped + columns * CHANNELS + 3) / 4;
    int at_once = min(high, DOWN * BYTES / 4 / words);
    if (at_once == 0) return false;
    bool inside = base >= 0 && base + words * 4 <= p.width * CHANNELS && p.pitch % 4 == 0 && (size_t)p.data % 4 == 0;
    float* lines = &shared.lines[0][0];
    for (int y = 0; y < high; y += at_once) {
        int some = min(at_once, high - y);
        for (int k = threadIdx.x; k < some * words; k += THREADS) {
            int j = k / words, i = k - j * words, at = base + i * 4;
            float middle = y0 + (y + j) * ratio_y, total = 0.f;
            float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
            int bottom = (int)floorf(middle + 2.f * wide_y);
            for (int row = (int)ceilf(middle - 2.f * wide_y); row <= bottom; ++row) {
                const unsigned char* from = p.data + (long long)within(row, p.height) * p.pitch;
                float weight = cubic((row - middle) / wide_y);
                unsigned word = four<CHANNELS>(p, from, at, inside);
                total += weight;
                sum.x += weight * (float)(word & 255);
                sum.y += weight * (float)(word >> 8 & 255);
                sum.z += weight * (float)(word >> 16 & 255);
                sum.w += weight * (float)(word >> 24);
            }
            total = 1.f / total;
            *(float4*)&lines[k * 4] = make_float4(sum.x * total, sum.y * total, sum.z * total, sum.w * total);
        }
        __syncthreads();
        for (int k = threadIdx.x; k < some * wide; k += THREADS) {
            int j = k / wide, i = k - j * wide;
            float middle = x0 + i * ratio_x, total = 0.f, sum[CHANNELS] = {};
            int first = (int)ceilf(middle - 2.f * wide_x), last = (int)floorf(middle + 2.f * wide_x);
            const float* line = &lines[j * words * 4 + skipped + (first - left) * CHANNELS];
            for (int column = first; column <= last; ++column, line += CHANNELS) {
                float weight = cubic((column - middle) / wide_x);
                total += weight;
                for (int c = 0; c < CHANNELS; ++c) sum[c] += weight * line[c];
            }
            for (int c = 0; c < CHANNELS; ++c) out[(long long)(y + j) * pitch + i * CHANNELS + c] = byte_of(sum[c] / total);
        }
        __syncthreads();
    }
    return true;
}

template <int CHANNELS>
__device__ void fill(const Picture& p, Plane plane, const Tile& tile, const float* crop, int bx, int by, unsigned char* out,
                     Shared& shared) {
    constexpr int PER = CHANNELS;  // luma pixels a sample stands for, along an axis
    int width = tile.width / PER, height = tile.height / PER;
    int x = bx * ACROSS, y = by * DOWN;
    int wide = min(ACROSS, width - x), high = min(DOWN, height - y);
    bool turned = p.rotation == 90 || p.rotation == 270;
    float ratio_x = (crop[2] - crop[0]) / (turned ? tile.height : tile.width);
    float ratio_y = (crop[3] - crop[1]) / (turned ? tile.width : tile.height);
    // Left-sited chroma lies a quarter of its pixel left of the middle, before and after.
    float shift = CHANNELS == 2 && p.rotation == 0 ? 0.25f * (1.f - ratio_x) : 0.f;
    float begin_x = crop[0] / PER - 0.5f + shift, begin_y = crop[1] / PER - 0.5f;
    unsigned char* first = out + (long long)(tile.y / PER + y) * p.out_pitch + (tile.x / PER + x) * CHANNELS;
    float from_x = begin_x + (x + 0.5f) * ratio_x, from_y = begin_y + (y + 0.5f) * ratio_y;
    if (p.rotation == 0 && ratio_x <= 1.f && ratio_y <= 1.f) {
        piece<CHANNELS>(plane, from_x, from_y, ratio_x, ratio_y, first, p.out_pitch, wide, high, shared);
        return;
    }
    if (p.rotation == 0 &&
        reduced<CHANNELS>(plane, from_x, from_y, ratio_x, ratio_y, first, p.out_pitch, wide, high, shared))
        return;
    for (int k = threadIdx.x; k < wide * high; k += THREADS) {
        int j = k / wide, i = k - j * wide;
        float u = (x + i + 0.5f) / width, v = (y + j + 0.5f) / height, s = u, t = v;
        if (p.rotation == 90) { s = v; t = 1.f - u; }
        if (p.rotation == 180) { s = 1.f - u; t = 1.f - v; }
        if (p.rotation == 270) { s = 1.f - v; t = u; }
        float result[CHANNELS];
        sample<CHANNELS>(plane, begin_x + s * (crop[2] - crop[0]) / PER, begin_y + t * (crop[3] - crop[1]) / PER, ratio_x,
                         ratio_y, result);
        for (int c = 0; c < CHANNELS; ++c) first[(long long)j * p.out_pitch + i * CHANNELS + c] = byte_of(result[c]);
    }
}

// Grid: blocks across the largest tile; luma's, then chroma's down; the crops, of which the first is number `first`.
extern "C" __global__ void compose(Picture p, const Tile* tiles, const Crops crops, int first) {
    __shared__ Shared shared;
    int n = (first + blockIdx.z) / p.tiles, t = first + blockIdx.z - n * p.tiles;
    Tile tile = tiles[t];
    bool chroma = blockIdx.y >= p.luma_down;
    int bx = blockIdx.x, by = blockIdx.y - (chroma ? p.luma_down : 0), per = chroma ? 2 : 1;
    if (bx * ACROSS >= tile.width / per || by * DOWN >= tile.height / per) return;
    unsigned char* out = p.out + n * p.out_step + (chroma ? (long long)p.out_rows * p.out_pitch : 0);
    const unsigned char* source = p.source + n * p.source_step;
    const float* crop = crops.at[blockIdx.z];
    if (isnan(crop[0])) {
        int wide = min(ACROSS * per, tile.width - bx * ACROSS * per), high = min(DOWN, tile.height / per - by * DOWN);
        for (int k = threadIdx.x; k < wide * high; k += THREADS)
            out[(long long)(tile.y / per + by * DOWN + k / wide) * p.out_pitch + tile.x + bx * ACROSS * per + k % wide] =
                chroma ? 128 : p.black;
    } else if (chroma) {
        Plane plane{source + (long long)p.source_rows * p.source_pitch, p.source_pitch, (p.source_width + 1) / 2,
                    (p.source_height + 1) / 2};
        fill<2>(p, plane, tile, crop, bx, by, out, shared);
    } else {
        fill<1>(p, Plane{source, p.source_pitch, p.source_width, p.source_height}, tile, crop, bx, by, out, shared);
    }
}

// Black where no tile is.
extern "C" __global__ void blacken(Picture p) {
    long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    long long luma = (long long)p.out_rows * p.out_pitch;
    for (int i = 0; i < 4; ++i, ++at)
        if (at < luma * 3 / 2) p.out[blockIdx.z * p.out_step + at] = at < luma ? p.black : 128;
}

// What `judge` says of a tile, as in mending.py: fine; blank and right so; bad; flat where the source is not.
enum : unsigned char { FINE, BLANK, BAD, FLAT };
constexpr int LOOKS = 16, LEVELS = 8, FEW = 8;  // looks across and down; a source's levels and looks that are not flat

// Grid: the crops, of which the first is number `first`; a block's threads look at one place each.
extern "C" __global__ void judge(Picture p, const Tile* tiles, const Crops crops, int first, unsigned char* state) {
    __shared__ int made, given;
    int number = first + blockIdx.x, n = number / p.tiles;
    const float* crop = crops.at[blockIdx.x];
    if (isnan(crop[0])) {
        if (threadIdx.x == 0) state[number] = crop[1] == 1.f ? BAD : BLANK;
        return;
    }
    Tile tile = tiles[number - n * p.tiles];
    float u = (threadIdx.x % LOOKS + 0.5f) / LOOKS, v = (threadIdx.x / LOOKS + 0.5f) / LOOKS;
    int x = tile.x + (int)(u * tile.width), y = tile.y + (int)(v * tile.height);
    int here = p.out[n * p.out_step + (long long)y * p.out_pitch + x];
    x = within((int)floorf(crop[0] + u * (crop[2] - crop[0])), p.source_width);
    y = within((int)floorf(crop[1] + v * (crop[3] - crop[1])), p.source_height);
    int there = p.source[n * p.source_step + (long long)y * p.source_pitch + x];
    if (threadIdx.x == 0) made = here, given = there;
    __syncthreads();
    bool flat = __syncthreads_and(here == made);
    int busy = __syncthreads_count(abs(there - given) > LEVELS);
    if (threadIdx.x == 0) state[number] = flat && busy >= FEW ? FLAT : FINE;
}

// Grid: blocks for two bytes a thread of the largest tile; the tiles. A thread stays at its place in all
// `count` pictures, from the oldest on, so that each takes over what the one before has there by then.
// `kept`: what is there in the last fine picture, before these and after.
extern "C" __global__ void mend(Picture p, const Tile* tiles, const unsigned char* state, unsigned char* kept, int count) {
    Tile tile = tiles[blockIdx.y];
    int across = tile.width / 2, k = blockIdx.x * blockDim.x + threadIdx.x, row = k / across;
    if (row >= tile.height * 3 / 2) return;
    bool chroma = row >= tile.height;
    int line = chroma ? p.out_rows + tile.y / 2 + row - tile.height : tile.y + row;
    long long at = (long long)line * p.out_pitch + tile.x + 2 * (k - row * across);
    int last = -1;
    for (int n = 0; n < count; ++n) {
        unsigned char found = state[n * p.tiles + blockIdx.y];
        if (found == FINE) last = n;
        if (found == BAD || found == FLAT)
            *(unsigned short*)(p.out + n * p.out_step + at) =
                *(const unsigned short*)(last < 0 ? kept + at : p.out + last * p.out_step + at);
    }
    if (last >= 0) *(unsigned short*)(kept + at) = *(const unsigned short*)(p.out + last * p.out_step + at);
}
