// Convolution and its gradients over two axes: images, and sequences as images one pixel high. DIVIDED: gradients with respect to the input of a convolution with strides.

KERNEL(convolution_128_2d, 256)(Convolution g) { convolve<Large, 2, false>(g); }
KERNEL(convolution_128_2d_divided, 256)(Convolution g) { convolve<Large, 2, true>(g); }
KERNEL(convolution_64_2d, 256)(Convolution g) { convolve<Small, 2, false>(g); }
KERNEL(convolution_64_2d_divided, 256)(Convolution g) { convolve<Small, 2, true>(g); }
