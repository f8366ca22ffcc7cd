// Convolution and its gradients over two axes: images, and sequences as images one pixel high.

KERNEL(convolution_128_2d, 256, 2)(Convolution g) { convolve<Large, 2>(g); }
KERNEL(convolution_64_2d, 256)(Convolution g) { convolve<Small, 2>(g); }
