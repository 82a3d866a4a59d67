"""Speed and accuracy of rendering, fitting and lifting on the processor and on CUDA."""
