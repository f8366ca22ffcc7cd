"""Net and solver prototxts of every old kind, and what real Caffe's own upgrade makes of them: testdata/upgrade/.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3.
Run:   python3.8 upgrade.py [OUT_FOLDER]        (default: ../upgrade next to this script)

Writes NAME.prototxt (the input), NAME.upgraded.prototxt (what ReadNetParamsFromTextFileOrDie, or for solvers
ReadSolverParamsFromTextFileOrDie, made of it, printed by WriteProtoToTextFile) and index.json:
{NAME: {"kind": "net"|"solver", "ok": bool, "log": what Caffe printed}}. No layer is set up, so data layers and
nets that could never run are upgraded too. `log` holds errors that Caffe prints and survives, or its last words.
"""
import json
import os
import shutil
import sys
import tempfile

import real_caffe
from real_caffe import PROTO

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "upgrade"))

V0_ALL = '''name: "every V0 type"
force_backward: true
layers {
  layer {
    name: "data" type: "data" source: "train_lmdb" batchsize: 8 rand_skip: 3
    scale: 0.5 meanfile: "mean.binaryproto" cropsize: 20 mirror: true
  }
  top: "data" top: "label"
}
layers {
  layer {
    name: "images" type: "images" source: "list.txt" batchsize: 4 rand_skip: 2 shuffle_images: true
    new_height: 32 new_width: 40 scale: 0.25 meanfile: "m.binaryproto" cropsize: 24 mirror: true
  }
  top: "image" top: "image_label"
}
layers {
  layer {
    name: "window" type: "window_data" source: "windows.txt" batchsize: 6 cropsize: 21 mirror: true scale: 2 meanfile: "w.binaryproto"
    det_fg_threshold: 0.6 det_bg_threshold: 0.4 det_fg_fraction: 0.3 det_context_pad: 5 det_crop_mode: "square"
  }
  top: "window" top: "window_label"
}
layers { layer { name: "h5in" type: "hdf5_data" source: "files.txt" batchsize: 9 } top: "h5" top: "h5_label" }
layers { layer { name: "h5out" type: "hdf5_output" hdf5_output_param { file_name: "out.h5" } } bottom: "h5" bottom: "h5_label" }
layers {
  layer {
    name: "conv" type: "conv" num_output: 6 biasterm: false pad: 1 kernelsize: 3 group: 2 stride: 2
    weight_filler { type: "gaussian" std: 0.02 } bias_filler { type: "constant" value: 0.5 }
    blobs_lr: 1 blobs_lr: 0 weight_decay: 1 weight_decay: 0
    blobs { num: 1 channels: 1 height: 1 width: 2 data: 1.5 data: -2 }
  }
  bottom: "data" top: "conv"
}
layers { layer { name: "pool_max" type: "pool" pool: MAX kernelsize: 3 stride: 2 pad: 1 } bottom: "conv" top: "pool_max" }
layers { layer { name: "pool_ave" type: "pool" pool: AVE kernelsize: 2 } bottom: "pool_max" top: "pool_ave" }
layers { layer { name: "pool_sto" type: "pool" pool: STOCHASTIC kernelsize: 2 stride: 1 } bottom: "pool_ave" top: "pool_sto" }
layers { layer { name: "lrn" type: "lrn" local_size: 3 alpha: 0.0002 beta: 0.5 k: 2 } bottom: "pool_sto" top: "lrn" }
layers { layer { name: "relu" type: "relu" } bottom: "lrn" top: "lrn" }
layers { layer { name: "sigmoid" type: "sigmoid" } bottom: "lrn" top: "sigmoid" }
layers { layer { name: "tanh" type: "tanh" } bottom: "sigmoid" top: "tanh" }
layers { layer { name: "bnll" type: "bnll" } bottom: "tanh" top: "bnll" }
layers { layer { name: "im2col" type: "im2col" kernelsize: 3 pad: 1 stride: 2 } bottom: "bnll" top: "im2col" }
layers { layer { name: "flatten" type: "flatten" } bottom: "im2col" top: "flatten" }
layers { layer { name: "split" type: "split" } bottom: "flatten" top: "split_0" top: "split_1" }
layers { layer { name: "concat" type: "concat" concat_dim: 0 } bottom: "split_0" bottom: "split_1" top: "concat" }
layers { layer { name: "dropout" type: "dropout" dropout_ratio: 0.7 } bottom: "concat" top: "concat" }
layers {
  layer {
    name: "ip" type: "innerproduct" num_output: 10 biasterm: true
    weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -1 max: 1 }
    blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  }
  bottom: "concat" top: "ip"
}
layers { layer { name: "softmax" type: "softmax" } bottom: "ip" top: "softmax" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
layers { layer { name: "multinomial" type: "multinomial_logistic_loss" } bottom: "softmax" bottom: "label" }
layers { layer { name: "infogain" type: "infogain_loss" source: "infogain.binaryproto" } bottom: "softmax" bottom: "label" }
layers { layer { name: "euclidean" type: "euclidean_loss" } bottom: "ip" bottom: "softmax" }
layers { layer { name: "accuracy" type: "accuracy" } bottom: "softmax" bottom: "label" top: "accuracy" }
'''

V1_FIELDS = {
    "ACCURACY": "accuracy_param { top_k: 5 }",
    "ARGMAX": "argmax_param { out_max_val: true top_k: 3 }",
    "CONCAT": "concat_param { axis: 2 concat_dim: 1 }",
    "CONTRASTIVE_LOSS": "contrastive_loss_param { margin: 2 legacy_version: true }",
    "CONVOLUTION": "convolution_param { num_output: 4 pad: 1 kernel_h: 3 kernel_w: 5 stride: 2 group: 2 }",
    "DATA": 'data_param { source: "lmdb" batch_size: 4 backend: LMDB scale: 0.5 mean_file: "m" crop_size: 7 mirror: true rand_skip: 1 }',
    "DECONVOLUTION": "convolution_param { num_output: 4 kernel_size: 4 stride: 2 bias_term: false }",
    "DROPOUT": "dropout_param { dropout_ratio: 0.25 }",
    "DUMMY_DATA": 'dummy_data_param { num: 1 channels: 2 height: 3 width: 4 data_filler { type: "gaussian" } }',
    "ELTWISE": "eltwise_param { operation: SUM coeff: 1 coeff: -0.5 stable_prod_grad: false }",
    "EXP": "exp_param { base: 2 scale: 3 shift: 4 }",
    "HDF5_DATA": 'hdf5_data_param { source: "files.txt" batch_size: 3 shuffle: true }',
    "HDF5_OUTPUT": 'hdf5_output_param { file_name: "o.h5" }',
    "HINGE_LOSS": "hinge_loss_param { norm: L2 }",
    "IM2COL": "convolution_param { kernel_size: 3 }",
    "IMAGE_DATA": 'image_data_param { source: "list" batch_size: 2 new_height: 8 new_width: 9 scale: 2 mean_file: "m" crop_size: 5 mirror: true root_folder: "r/" }',
    "INFOGAIN_LOSS": 'infogain_loss_param { source: "i" }',
    "INNER_PRODUCT": "inner_product_param { num_output: 3 axis: 2 }",
    "LRN": "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL k: 2 }",
    "MEMORY_DATA": "memory_data_param { batch_size: 1 channels: 2 height: 3 width: 4 } transform_param { scale: 0.1 mean_value: 3 mean_value: 4 }",
    "MVN": "mvn_param { normalize_variance: false across_channels: true eps: 1e-6 }",
    "POOLING": "pooling_param { pool: AVE kernel_size: 2 global_pooling: false pad_h: 1 }",
    "POWER": "power_param { power: 2 scale: 3 shift: 4 }",
    "RELU": "relu_param { negative_slope: 0.1 engine: CAFFE }",
    "SIGMOID": "sigmoid_param { engine: CAFFE }",
    "SIGMOID_CROSS_ENTROPY_LOSS": "loss_weight: 0.5",
    "SLICE": "slice_param { axis: 2 slice_dim: 1 slice_point: 1 slice_point: 3 }",
    "SOFTMAX": "softmax_param { axis: 2 }",
    "SOFTMAX_LOSS": "softmax_param { axis: 1 } loss_param { ignore_label: 255 normalize: false }",
    "TANH": "tanh_param { engine: CAFFE }",
    "THRESHOLD": "threshold_param { threshold: 0.5 }",
    "WINDOW_DATA": 'window_data_param { source: "w" batch_size: 2 scale: 0.5 mean_file: "m" crop_size: 9 mirror: true fg_threshold: 0.6 bg_threshold: 0.3 context_pad: 2 crop_mode: "square" }',
}


def v1_all():
    """Every value of V1LayerParameter.LayerType that mainline Caffe has, each with its own message if it has one."""
    text = 'name: "every V1 type"\n'
    for value in sorted(PROTO.V1LayerParameter.LayerType.DESCRIPTOR.values, key=lambda v: v.number):
        if value.name == "REVERSE":  # only this wheel's fork has it
            continue
        name = value.name.lower()
        text += 'layers { name: "%s" type: %s bottom: "in" top: "%s" %s }\n' % (name, value.name, name, V1_FIELDS.get(value.name, ""))
    text += 'layers { name: "typeless" bottom: "in" top: "typeless" }\n'
    return text


NETS = {
    "v0_every_type": V0_ALL,
    "v0_padding": '''name: "padding" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad_conv" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 } bottom: "padded" top: "conv" }
layers { layer { name: "pad_pool" type: "padding" pad: 1 } bottom: "conv" top: "padded2" }
layers { layer { name: "pool" type: "pool" kernelsize: 3 stride: 2 pool: AVE } bottom: "padded2" top: "pool" }
layers { layer { name: "relu" type: "relu" } bottom: "pool" top: "pool" }
''',
    "v0_padding_twice_used": '''name: "one padding, two readers"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "conv_a" type: "conv" num_output: 2 kernelsize: 3 } bottom: "padded" top: "a" }
layers { layer { name: "conv_b" type: "conv" num_output: 2 kernelsize: 5 pad: 7 } bottom: "padded" top: "b" }
''',
    "v0_padding_into_relu": '''name: "padding before a layer that cannot pad"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "relu" type: "relu" } bottom: "padded" top: "relu" }
''',
    "v0_padding_into_concat": '''name: "padding before a layer with two bottoms"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "concat" type: "concat" } bottom: "padded" bottom: "padded" top: "concat" }
''',
    "v0_padding_two_inputs": '''name: "a padding of two blobs"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 } bottom: "padded" top: "conv" }
''',
    "v0_padding_unused": '''name: "a padding that nothing reads"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "relu" type: "relu" } bottom: "data" top: "relu" }
''',
    "v0_unknown_blob": '''name: "bottom that no layer makes"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "relu" type: "relu" } bottom: "nothing" top: "relu" }
''',
    "v0_unknown_type": 'input: "x" input_dim: [1, 1, 1, 1] layers { layer { name: "a" type: "swish" } bottom: "x" top: "y" }\n',
    "v0_camel_type": 'input: "x" input_dim: [1, 1, 1, 1] layers { layer { name: "a" type: "ReLU" } bottom: "x" top: "y" }\n',
    "v0_no_type": 'input: "x" input_dim: [1, 1, 1, 1] layers { layer { name: "a" } bottom: "x" top: "y" }\n',
    "v0_mistyped_fields": '''name: "fields on the wrong layers"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers {
  layer {
    name: "relu" type: "relu" num_output: 3 biasterm: true pad: 1 kernelsize: 3 group: 2 stride: 2 pool: AVE dropout_ratio: 0.5
    local_size: 3 alpha: 1 beta: 2 k: 3 source: "s" batchsize: 1 rand_skip: 1 shuffle_images: true new_height: 1 new_width: 1
    concat_dim: 1 det_fg_threshold: 0.5 det_bg_threshold: 0.5 det_fg_fraction: 0.5 det_context_pad: 1 det_crop_mode: "warp"
    weight_filler { type: "xavier" } bias_filler { type: "constant" } hdf5_output_param { file_name: "f" }
    scale: 0.5 meanfile: "m" cropsize: 3 mirror: true
  }
  bottom: "data" top: "relu"
}
''',
    "v0_new_dims": 'name: "fields of the image conversion" layers { layer { name: "d" type: "data" new_num: 1 new_channels: 2 new_height: 3 new_width: 4 } top: "d" }\n',
    "v0_v1_mixed": '''name: "one V0 layer makes the net V0"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "relu" type: "relu" } bottom: "data" top: "relu" }
layers { name: "tanh" type: TANH bottom: "relu" top: "tanh" }
''',
    "v0_dropped_fields": '''name: "what a V0 net loses"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } state { phase: TRAIN } debug_info: true force_backward: true
layers { layer { name: "relu" type: "relu" } bottom: "data" top: "relu" }
''',
    "v1_every_type": v1_all(),
    "v1_params": '''name: "names, sharing, multipliers"
layers { name: "a" type: INNER_PRODUCT bottom: "x" top: "a" param: "w" param: "" param: "b" blob_share_mode: PERMISSIVE blob_share_mode: STRICT
  blobs_lr: 1 blobs_lr: 2 blobs_lr: 0 blobs_lr: 3 weight_decay: 1 inner_product_param { num_output: 2 } }
layers { name: "b" type: INNER_PRODUCT bottom: "a" top: "b" weight_decay: 0 weight_decay: 1 inner_product_param { num_output: 2 } }
layers { name: "c" type: INNER_PRODUCT bottom: "b" top: "c" param: "only" loss_weight: 2
  inner_product_param { num_output: 2 } blobs { num: 1 channels: 1 height: 2 width: 2 data: [1, 2, 3, 4] } }
''',
    "v1_rules": '''name: "include and exclude"
state { phase: TRAIN level: 2 stage: "a" stage: "b" }
layers { name: "a" type: RELU bottom: "x" top: "a" include { phase: TRAIN min_level: 1 max_level: 3 stage: "a" not_stage: "c" } }
layers { name: "b" type: RELU bottom: "a" top: "b" exclude { phase: TEST } exclude { stage: "b" } }
''',
    "v1_with_v2": 'layers { name: "a" type: RELU bottom: "x" top: "a" }\nlayer { name: "b" type: "ReLU" bottom: "a" top: "b" }\n',
    "v1_v0_fields_in_v1": 'name: "old data fields on a new layer" layers { name: "d" type: RELU data_param { source: "s" scale: 2 mirror: true } bottom: "x" top: "d" }\n',
    "v2_data_fields": 'name: "V2 layers keep their old data fields" layer { name: "d" type: "Data" top: "d" data_param { source: "s" scale: 2 mean_file: "m" crop_size: 3 mirror: true } }\n',
    "v1_transform_both": 'name: "transform_param and old fields" layers { name: "d" type: DATA top: "d" data_param { source: "s" scale: 2 mirror: true } transform_param { scale: 3 crop_size: 5 } }\n',
    "input_dim": '''name: "input_dim" input: "data" input: "label" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 input_dim: 2 input_dim: 1 input_dim: 1 input_dim: 1
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
layer { name: "silence" type: "Silence" bottom: "label" }
''',
    "input_shape": '''name: "input_shape" input: "data" input: "label" input_shape { dim: 2 dim: 3 } input_shape { dim: 2 }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
''',
    "input_without_dims": 'name: "as in an old caffemodel" input: "data" layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n',
    "input_both": 'input: "data" input_shape { dim: 2 dim: 3 } input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n',
    "input_too_few_dims": 'input: "data" input: "more" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n',
    "input_too_few_shapes": 'input: "data" input: "more" input_shape { dim: 1 } layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n',
    "input_dim_without_input": 'input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n',
    "input_name_taken": 'input: "data" input_shape { dim: 2 dim: 3 } layer { name: "input" type: "ReLU" bottom: "data" top: "relu" }\n',
    "batch_norm": '''name: "BatchNorm of 3, 3 named, 2, 4 and 0 params"
layer { name: "three" type: "BatchNorm" bottom: "x" top: "a" param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 } param { decay_mult: 3 } }
layer { name: "named" type: "BatchNorm" bottom: "a" top: "b" param { name: "m" } param { name: "v" share_mode: PERMISSIVE } param { name: "s" lr_mult: 1 } }
layer { name: "two" type: "BatchNorm" bottom: "b" top: "c" param { lr_mult: 1 } param { lr_mult: 1 } }
layer { name: "four" type: "BatchNorm" bottom: "c" top: "d" param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 1 } }
layer { name: "none" type: "BatchNorm" bottom: "d" top: "e" batch_norm_param { use_global_stats: true eps: 0.001 } }
layer { name: "scale" type: "Scale" bottom: "e" top: "f" param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 1 } }
''',
    "empty": "",
    "name_only": 'name: "nothing"\n',
}

SOLVERS = {
    "solver_type_enum": 'net: "n.prototxt" base_lr: 0.1 solver_type: ADAGRAD snapshot_prefix: "p"\n',
    "solver_type_every": None,
    "solver_type_both": 'net: "n.prototxt" solver_type: ADAM type: "SGD" snapshot_prefix: "p"\n',
    "solver_type_string": 'net: "n.prototxt" type: "RMSProp" snapshot_prefix: "p"\n',
    "solver_no_prefix": 'net: "n.prototxt" base_lr: 0.1\n',
    "solver_prefix_folder": 'net: "n.prototxt" snapshot_prefix: "."\n',
    "solver_prefix_path": 'net: "n.prototxt" snapshot_prefix: "some/where/p"\n',
    "solver_net_param": 'net_param { layers { name: "a" type: RELU bottom: "x" top: "a" } input: "x" input_dim: [1, 2, 3, 4] } snapshot_prefix: "p"\n',
    "solver_unknown_field": 'net: "n.prototxt" wieght_decay: 1\n',
}

# Real Caffe reads past the end of its repeated field here: it dies, or takes numbers from foreign memory.
UNDEFINED = {"input_too_few_dims", "input_too_few_shapes"}


def main():
    if os.path.isdir(OUT):
        shutil.rmtree(OUT)
    os.makedirs(OUT)
    cases = {name: ("net", text) for name, text in NETS.items()}
    for name, text in SOLVERS.items():
        if name == "solver_type_every":
            for value in PROTO.SolverParameter.SolverType.DESCRIPTOR.values:
                cases["solver_type_" + value.name.lower()] = ("solver", 'net: "n.prototxt" solver_type: %s snapshot_prefix: "p"\n' % value.name)
        else:
            cases[name] = ("solver", text)
    index = {}
    os.chdir(OUT)  # so that the paths in Caffe's messages and default prefixes are bare names
    for name, (kind, text) in cases.items():
        with open(name + ".prototxt", "w") as stream:
            stream.write(text)
        read = real_caffe.upgrade_text if kind == "net" else real_caffe.upgrade_solver
        ok, upgraded, log = read(name + ".prototxt", out_text=True)
        if name in UNDEFINED:
            ok, log = False, "(undefined behaviour: reads past the end of a repeated field)"
        if ok:
            with open(name + ".upgraded.prototxt", "wb") as stream:
                stream.write(upgraded)
        index[name] = {"kind": kind, "ok": ok, "log": log}
        print("%-26s %-5s %s" % (name, ok, log.splitlines()[-1][:120] if log else ""))
    with open("index.json", "w") as stream:
        json.dump(index, stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    main()
