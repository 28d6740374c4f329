// What networks answer to faces: the surest candidate is a face, those that overlap it are not, and again.

constexpr int THREADS = 256, VALUES = 15;  // of a face: score, box, five landmarks

struct Pick {
    int candidates, most;   // of a picture
    float least, overlap;   // scores below that are no faces; IoU above that is the same face
    float* scratch;         // [n, candidates]
    float* out;             // [n, most, VALUES]; score 0 after the last
};

// YuNet: one candidate a cell of three grids.
struct Cells {
    const float* sure[3];      // cls, [n, cells]
    const float* object[3];    // obj
    const float* boxes[3];     // [n, cells, 4]
    const float* points[3];    // [n, cells, 10]
    int cells[3], across[3], stride[3];

    struct Place { int level, cell; long long at; };

    __device__ Place place(int n, int i) const {
        int level = i >= cells[0] + cells[1] ? 2 : i >= cells[0] ? 1 : 0;
        int cell = i - (level > 0 ? cells[0] : 0) - (level > 1 ? cells[1] : 0);
        return {level, cell, (long long)n * cells[level] + cell};
    }

    __device__ float score(int n, int i) const {
        Place p = place(n, i);
        return sqrtf(__saturatef(sure[p.level][p.at]) * __saturatef(object[p.level][p.at]));
    }

    __device__ void box(int n, int i, float* box) const {
        Place p = place(n, i);
        const float* from = boxes[p.level] + p.at * 4;
        float s = stride[p.level];
        float x = (p.cell % across[p.level] + from[0]) * s, y = (p.cell / across[p.level] + from[1]) * s;
        float w = expf(fminf(from[2], 10.f)) * s / 2, h = expf(fminf(from[3], 10.f)) * s / 2;
        box[0] = x - w; box[1] = y - h; box[2] = x + w; box[3] = y + h;
    }

    __device__ float point(int n, int i, int k) const {
        Place p = place(n, i);
        int base = k % 2 ? p.cell / across[p.level] : p.cell % across[p.level];
        return (base + points[p.level][p.at * 10 + k]) * stride[p.level];
    }
};

// YOLO for faces: candidates of numbers, which lie side by side (v5) or in rows of their own (v8).
struct Numbers {
    const float* answer;
    long long by_picture;
    int by_candidate, by_number;
    int times;      // the number that the score (number 4) is multiplied by; -1: none
    int landmark;   // numbers a landmark; 0: there are none

    __device__ float number(int n, int i, int k) const {
        return answer[n * by_picture + (long long)i * by_candidate + (long long)k * by_number];
    }

    __device__ float score(int n, int i) const {
        return number(n, i, 4) * (times < 0 ? 1.f : number(n, i, times));
    }

    __device__ void box(int n, int i, float* box) const {
        float x = number(n, i, 0), y = number(n, i, 1);
        float w = fmaxf(number(n, i, 2), 0.f) / 2, h = fmaxf(number(n, i, 3), 0.f) / 2;
        box[0] = x - w; box[1] = y - h; box[2] = x + w; box[3] = y + h;
    }

    __device__ float point(int n, int i, int k) const {
        return landmark ? number(n, i, 5 + k / 2 * landmark + k % 2) : __int_as_float(0x7fffffff);
    }
};

// A block a picture.
template <class Answer>
__device__ void pick(const Answer& answer, const Pick& p) {
    __shared__ float best[THREADS];
    __shared__ int where[THREADS];
    __shared__ float chosen[4];
    int n = blockIdx.x, me = threadIdx.x;
    float* scores = p.scratch + (long long)n * p.candidates;
    for (int i = me; i < p.candidates; i += THREADS) {
        float s = answer.score(n, i);
        scores[i] = s >= p.least ? s : 0.f;
    }
    __syncthreads();
    for (int k = 0; k < p.most; ++k) {
        float top = 0.f;
        int place = -1;
        for (int i = me; i < p.candidates; i += THREADS)
            if (scores[i] > top) { top = scores[i]; place = i; }
        best[me] = top;
        where[me] = place;
        __syncthreads();
        for (int half = THREADS / 2; half > 0; half /= 2) {
            if (me < half) {
                float other = best[me + half];
                if (other > best[me] || (other == best[me] && other > 0.f && where[me + half] < where[me])) {
                    best[me] = other;
                    where[me] = where[me + half];
                }
            }
            __syncthreads();
        }
        float score = best[0];
        int i = where[0];
        float* out = p.out + ((long long)n * p.most + k) * VALUES;
        if (score <= 0.f) {
            if (me == 0) out[0] = 0.f;
            return;
        }
        if (me == 0) {
            answer.box(n, i, chosen);
            out[0] = score;
            for (int c = 0; c < 4; ++c) out[1 + c] = chosen[c];
        }
        if (me < 10) out[5 + me] = answer.point(n, i, me);
        __syncthreads();
        float area = fmaxf(chosen[2] - chosen[0], 0.f) * fmaxf(chosen[3] - chosen[1], 0.f);
        for (int j = me; j < p.candidates; j += THREADS) {
            if (scores[j] <= 0.f) continue;
            float box[4];
            answer.box(n, j, box);
            float w = fminf(box[2], chosen[2]) - fmaxf(box[0], chosen[0]);
            float h = fminf(box[3], chosen[3]) - fmaxf(box[1], chosen[1]);
            float shared = fmaxf(w, 0.f) * fmaxf(h, 0.f);
            float own = (box[2] - box[0]) * (box[3] - box[1]);
            if (j == i || shared > p.overlap * fmaxf(area + own - shared, 1e-9f)) scores[j] = 0.f;
        }
        __syncthreads();
    }
}

extern "C" __global__ void faces_of_cells(Cells answer, Pick p) { pick(answer, p); }
extern "C" __global__ void faces_of_numbers(Numbers answer, Pick p) { pick(answer, p); }
