"""Speed and accuracy of rasterisation, fitting and lifting on the CPU and on CUDA."""
