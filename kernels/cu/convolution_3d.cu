// Convolution and its gradients over three axes. DIVIDED: gradients with respect to the input of a convolution with strides.

KERNEL(convolution_128_3d, 256)(Convolution g) { convolve<Large, 3, false>(g); }
KERNEL(convolution_128_3d_divided, 256)(Convolution g) { convolve<Large, 3, true>(g); }
KERNEL(convolution_64_3d, 256)(Convolution g) { convolve<Small, 3, false>(g); }
KERNEL(convolution_64_3d_divided, 256)(Convolution g) { convolve<Small, 3, true>(g); }
