"""The packages that hardware layers speak of: the base install's, and those that work with a GPU."""

# Import name → distributions that bring it; their versions are part of the cache's key.
PACKAGES = {
    "av": ("av",),
    "cv2": ("opencv-python-headless", "opencv-python"),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "torch": ("torch",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt_rtx"),
    "tensorrt_rtx_bindings": ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings"),
    "PyNvVideoCodec": ("PyNvVideoCodec",),
}
