// Decoded surfaces, each where the decoder put it, into one NV12 batch.

struct Surfaces { unsigned long long address[16]; };

// One thread a 4-byte word of the batch; rows: luma and chroma together. 10-bit samples lie in the high
// bits of 16 and keep the 8 highest, rounded.
extern "C" __global__ void gather(Surfaces from, int pitch, int wide, unsigned char* out, int width, int rows, long long step) {
    int x = (blockIdx.x * blockDim.x + threadIdx.x) * 4, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    unsigned char* target = out + n * step + (long long)y * width + x;
    const unsigned char* source = (const unsigned char*)from.address[n] + (long long)y * pitch;
    bool whole = !wide && width % 4 == 0 && pitch % 4 == 0 && from.address[n] % 4 == 0 && step % 4 == 0;
    if (whole) { *(unsigned*)target = *(const unsigned*)(source + x); return; }
    for (int i = 0; i < 4 && x + i < width; ++i) {
        if (!wide) { target[i] = source[x + i]; continue; }
        int value = ((const unsigned short*)source)[x + i] >> 6;
        target[i] = (unsigned char)min((value + 2) >> 2, 255);
    }
}
