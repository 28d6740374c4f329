// A decoded picture of 10 bits a sample, as NV12: luma and chroma rows alike.

// Samples lie in the high bits of 16; the 8 highest are kept, rounded.
extern "C" __global__ void narrow(const unsigned char* from, int pitch, unsigned char* out, int width) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) return;
    int value = ((const unsigned short*)(from + (long long)y * pitch))[x] >> 6;
    out[(long long)y * width + x] = (unsigned char)min((value + 2) >> 2, 255);
}
