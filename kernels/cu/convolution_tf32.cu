// Convolution of images and its gradients on the tensor cores, where MathMode::Tf32 is asked for.

KERNEL(convolution_tf32, 256)(Convolution g) { convolve<Tensor, 2>(g); }
