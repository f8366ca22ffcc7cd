// Convolution and its gradients over up to six axes. DIVIDED: gradients with respect to the input of a convolution with strides.

KERNEL(convolution_128_6d, 256)(Convolution g) { convolve<Large, 6, false>(g); }
KERNEL(convolution_128_6d_divided, 256)(Convolution g) { convolve<Large, 6, true>(g); }
KERNEL(convolution_64_6d, 256)(Convolution g) { convolve<Small, 6, false>(g); }
KERNEL(convolution_64_6d_divided, 256)(Convolution g) { convolve<Small, 6, true>(g); }
