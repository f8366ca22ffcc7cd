// Convolution and its gradients over up to six axes.

KERNEL(convolution_128_6d, 256, 2)(Convolution g) { convolve<Large, 6>(g); }
KERNEL(convolution_64_6d, 256, 4)(Convolution g) { convolve<Small, 6>(g); }
