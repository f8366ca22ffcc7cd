// Convolution and its gradients over three axes.

KERNEL(convolution_128_3d, 256, 2)(Convolution g) { convolve<Large, 3>(g); }
KERNEL(convolution_64_3d, 256)(Convolution g) { convolve<Small, 3>(g); }
